"""Train and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_species_are_told_apart(clean_room: CleanRoom) -> None:
    """The model is correct for most flowers that it has not seen."""
    model = clean_room.train("algorithm", train=make_rows(1000, seed=0))
    new = make_rows(100, seed=1)
    job = clean_room.infer(model, new.drop("species"))
    assert job.warnings == []
    assert (job.predictions["prediction"] == new["species"]).mean() > 0.9
