"""Which image ran, as members read it."""

from pathlib import Path

from cleanroom_algo.local.room import Room
from tests.images.engine import Engine
from tests.local.support import AIRLINE_ID, SETTINGS, RoomFixture


def test_jobs_show_the_digests_of_the_images_that_ran(engine: Engine, tmp_path: Path) -> None:
    with Room(tmp_path / "home", settings=SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        image = engine.image_of(tmp_path / "algorithm")
        desk.use_image(image)
        desk.configure()

        model = desk.train()
        job = desk.infer(model.key)

        own = {"membershipIdentifier": AIRLINE_ID}
        trained = desk.call("GetTrainedModel", trainedModelArn=model.key, **own)
        inferred = desk.call("GetTrainedModelInferenceJob", trainedModelInferenceJobArn=job.key, **own)
    digest = engine.call("podman", "image", "inspect", "--format", "{{.Digest}}", image).strip()
    assert digest.startswith("sha256:")
    assert (trained["status"], trained["trainingContainerImageDigest"]) == ("ACTIVE", digest)
    assert (inferred["status"], inferred["inferenceContainerImageDigest"]) == ("ACTIVE", digest)
