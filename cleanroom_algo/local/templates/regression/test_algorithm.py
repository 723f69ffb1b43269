"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_prices_are_close(clean_room: CleanRoom) -> None:
    """The errors of the model are much smaller than the differences between prices."""
    model = clean_room.train("algorithm", train=make_rows(2000, seed=0))
    new = make_rows(200, seed=1)
    job = clean_room.infer(model, new.drop("price"))
    assert job.warnings == []
    errors = job.predictions["prediction"] - new["price"]
    assert errors.abs().mean() < 0.2 * new["price"].std()
