"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_customers_who_leave_are_found(clean_room: CleanRoom) -> None:
    """The model is correct for most customers that it has not seen."""
    model = clean_room.train("algorithm", train=make_rows(2000, seed=0))
    new = make_rows(200, seed=1)
    job = clean_room.infer(model, new.drop("left"))
    assert job.warnings == []
    right = (job.predictions["prediction"] > 0.5) == new["left"]
    assert right.mean() > 0.9
