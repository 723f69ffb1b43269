"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_ratings_are_close(clean_room: CleanRoom) -> None:
    """The errors of the model are much smaller than the differences between ratings."""
    model = clean_room.train("algorithm", train=make_rows(8000, seed=0))
    new = make_rows(200, seed=1)
    job = clean_room.infer(model, new.drop("rating"))
    assert job.warnings == []
    assert (job.predictions["prediction"] - new["rating"]).abs().mean() < 0.6 * new["rating"].std()
