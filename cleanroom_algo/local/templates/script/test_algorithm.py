"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_the_line_is_found(clean_room: CleanRoom) -> None:
    """The script writes its file, and inference.py predicts with it."""
    model = clean_room.train("algorithm", train=make_rows(1000, seed=0), environment={"SAGEMAKER_PROGRAM": "train.py"})
    assert model.files == ("line.json",)
    new = make_rows(100, seed=1)
    job = clean_room.infer(model, new.drop("y"), accept="text/csv")
    assert (job.predictions["prediction"].cast(float) - new["y"]).abs().mean() < 0.2
