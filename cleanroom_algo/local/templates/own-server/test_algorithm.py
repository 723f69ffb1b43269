"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_means_come_back(clean_room: CleanRoom) -> None:
    """Each group gets its mean."""
    model = clean_room.train("algorithm", train=make_rows(1000, seed=0))
    new = make_rows(100, seed=1)
    job = clean_room.infer(model, new.drop("value"), accept="text/csv")
    predicted = job.predictions["prediction"].cast(float)
    assert (predicted - new["value"]).abs().mean() < 0.2
