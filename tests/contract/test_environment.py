"""The configuration files of real jobs, read as typed values."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.contract.environment import Environment, InferenceEnvironment
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.errors import ChannelNotInJobError, ConfigFileError, SettingError

# As listed in a real job of one ml.g4dn.12xlarge; the hosts of the group are unordered in real two-host jobs.
RESOURCES = {
    "current_host": "algo-1",
    "current_instance_type": "ml.g4dn.12xlarge",
    "current_group_name": "homogeneousCluster",
    "hosts": ["algo-1", "algo-2"],
    "instance_groups": [
        {
            "instance_group_name": "homogeneousCluster",
            "instance_type": "ml.g4dn.12xlarge",
            "hosts": ["algo-2", "algo-1"],
        }
    ],
    "network_interface_name": "eth0",
    "topology": None,
}
TRAIN = {"TrainingInputMode": "File", "S3DistributionType": "ShardedByS3Key", "RecordWrapperType": "None"}

Layout = Callable[..., dict[str, str]]


@pytest.fixture
def lay_out(tmp_path: Path) -> Layout:
    """Return a function that writes the three files and gives the variables that point at them."""

    def lay_out(
        hyperparameters: object = None, channels: object = None, resources: object = None, **variables: str
    ) -> dict[str, str]:
        paths = Paths(tmp_path)
        paths.config.mkdir(parents=True, exist_ok=True)
        for path, content in [
            (paths.hyperparameters, {"epochs": "3"} if hyperparameters is None else hyperparameters),
            (paths.input_data_config, {"train": TRAIN} if channels is None else channels),
            (paths.resource_config, RESOURCES if resources is None else resources),
        ]:
            path.write_text(json.dumps(content))
        return {"SAGEMAKER_BASE_DIR": str(tmp_path), **variables}

    return lay_out


def test_reads_what_a_real_job_writes(lay_out: Layout, tmp_path: Path) -> None:
    environment = Environment.read(
        lay_out(TRAINING_JOB_NAME="job", TRAINING_JOB_ARN="arn:aws:sagemaker:us-east-1:111111111111:training-job/job")
    )

    assert environment.job_name == "job"
    assert environment.hyperparameters == {"epochs": "3"}
    train = environment.channel("train")
    assert train.path == tmp_path / "input" / "data" / "train"
    assert train.fifo(2) == tmp_path / "input" / "data" / "train_2"
    assert train.distribution is Distribution.SHARDED_BY_S3_KEY
    assert environment.resources.hosts == ("algo-1", "algo-2")
    assert environment.resources.host_rank == 0


def test_rank_comes_from_the_sorted_top_level_hosts(lay_out: Layout) -> None:
    resources = RESOURCES | {"current_host": "algo-2", "hosts": ["algo-3", "algo-2", "algo-1"]}

    read = Environment.read(lay_out(resources=resources)).resources

    assert (read.host_rank, read.host_count, read.first_host) == (1, 3, "algo-1")


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_fast_file_is_the_same_view_as_file(lay_out: Layout, mode: str) -> None:
    channels = {"train": {"TrainingInputMode": mode}}

    assert Environment.read(lay_out(channels=channels)).channel("train").input_mode.has_files


def test_absent_keys_take_the_documented_defaults(lay_out: Layout) -> None:
    # The local mode of the SageMaker SDK writes no more than this.
    environment = Environment.read(
        lay_out(channels={"train": {}}, resources={"current_host": "a", "hosts": ["a"]}, hyperparameters={"n": 3})
    )

    train = environment.channel("train")
    assert (train.input_mode, train.distribution) == (InputMode.FILE, Distribution.FULLY_REPLICATED)
    assert (train.record_wrapper, train.compression, train.content_type) == ("None", "None", None)
    assert environment.resources.network_interface_name == "eth0"
    assert environment.hyperparameters == {"n": "3"}
    assert environment.job_name is None


def test_all_faults_of_the_files_are_reported_at_once(lay_out: Layout) -> None:
    variables = lay_out(
        channels={"train": {"TrainingInputMode": "Teleport"}, "test": {"S3DistributionType": "Mine"}},
        resources={"current_host": "b", "hosts": ["a"]},
    )
    Paths.from_environ(variables).hyperparameters.write_text("{")

    with pytest.raises(ConfigFileError) as caught:
        Environment.read(variables)

    text = str(caught.value)
    assert "hyperparameters.json: is not JSON" in text
    assert "inputdataconfig.json: train.TrainingInputMode" in text
    assert "inputdataconfig.json: test.S3DistributionType" in text
    assert "current_host is not among hosts" in text


def test_missing_files_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError) as caught:
        Environment.read({"SAGEMAKER_BASE_DIR": str(tmp_path)})

    assert len(caught.value.problems) == 3
    assert "cleanroom-algo train" in caught.value.fix


def test_an_unknown_channel_suggests_the_nearest(lay_out: Layout) -> None:
    with pytest.raises(ChannelNotInJobError, match="did you mean 'train'"):
        Environment.read(lay_out()).channel("trian")


def test_settings_are_typed_and_none_is_ignored(lay_out: Layout) -> None:
    settings = Environment.read(
        lay_out(CLEANROOM_ALGO_MAX_ARTIFACT_GB="0.5", CLEANROOM_ALGO_RENDEZVOUS="127.0.0.1:29500")
    ).settings
    assert (settings.max_artifact_gb, settings.rendezvous) == (0.5, "127.0.0.1:29500")

    with pytest.raises(SettingError) as caught:
        Environment.read(lay_out(CLEANROOM_ALGO_MAX_ARTEFACT_GB="1", CLEANROOM_ALGO_RANKS_PER_HOST="many"))
    assert [problem.path for problem in caught.value.problems] == [
        "CLEANROOM_ALGO_MAX_ARTEFACT_GB",
        "CLEANROOM_ALGO_RANKS_PER_HOST",
    ]
    assert "did you mean 'CLEANROOM_ALGO_MAX_ARTIFACT_GB'" in str(caught.value)


def test_the_root_is_opt_ml_unless_moved() -> None:
    assert Paths.from_environ({}).model == Path("/opt/ml/model")


def test_inference_variables() -> None:
    plain = InferenceEnvironment.read({})
    assert (plain.batch, plain.port, plain.max_payload_mb) == (False, 8080, None)

    given = InferenceEnvironment.read(
        {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
            "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
            "SAGEMAKER_BIND_TO_PORT": "9000",
        }
    )
    assert (given.batch, given.max_payload_mb, given.max_concurrent_transforms, given.port) == (True, 6, 2, 9000)

    with pytest.raises(ConfigFileError, match="SAGEMAKER_MAX_PAYLOAD_IN_MB"):
        InferenceEnvironment.read({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "101"})
