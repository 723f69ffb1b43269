"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_good_reviews_are_found(clean_room: CleanRoom) -> None:
    """The model is correct for most reviews that it has not seen."""
    model = clean_room.train("algorithm", train=make_rows(1000, seed=0))
    new = make_rows(100, seed=1)
    job = clean_room.infer(model, new.drop("positive"))
    assert job.warnings == []
    assert ((job.predictions["prediction"] > 0.5) == new["positive"]).mean() > 0.9
