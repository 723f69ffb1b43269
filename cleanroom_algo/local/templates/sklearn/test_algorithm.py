"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_rain_is_predicted(clean_room: CleanRoom) -> None:
    """The model is correct for most hours that it has not seen."""
    model = clean_room.train("algorithm", train=make_rows(2000, seed=0))
    assert model.metrics["accuracy"] > 0.8
    new = make_rows(200, seed=1)
    job = clean_room.infer(model, new.drop("rain"))
    assert job.warnings == []
    assert ((job.predictions["prediction"] > 0.5) == new["rain"]).mean() > 0.8
