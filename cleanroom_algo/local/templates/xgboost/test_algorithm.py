"""Train on two hosts, continue training, and predict in a clean room on this machine."""

from make_data import make_rows

from cleanroom_algo.testing import CleanRoom


def test_who_leaves_is_predicted(clean_room: CleanRoom) -> None:
    """The model is correct for most customers that it has not seen."""
    first = clean_room.train(
        "algorithm",
        train=make_rows(2000, seed=0),
        hosts=2,
        distribution="ShardedByS3Key",
        hyperparameters={"num_round": 20},
    )
    model = clean_room.train("algorithm", train=make_rows(2000, seed=2), base_model=first)
    assert model.metrics["round"] == 60
    new = make_rows(200, seed=1)
    job = clean_room.infer(model, new.drop("left"))
    assert job.warnings == []
    assert ((job.predictions["prediction"] > 0.5) == new["left"]).mean() > 0.85
