"""Training jobs on every kind of host that this machine offers: what the container sees, and what it leaves."""

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts.layout import input_data_config, resource_config
from cleanroom_algo.local.plans.outcomes import JobStatus
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan
from tests.local.jobs.support import PRELUDE, Job, Lines, Run, members

WHATEVER_KIND = pytest.mark.parametrize("kind", ["process"])  # what is packed comes from a folder of this machine


def test_the_container_sees_what_a_real_job_shows(job: Job) -> None:
    plan = job("", parts=1, hyperparameters={"epochs": "3"})
    host = plan.hosts[0]
    one_gpu_host = resource_config(replace(plan, instance_type="ml.g4dn.12xlarge"), host)
    del one_gpu_host["topology"]  # it came in 2025; the sizes are of a listing from 2022

    assert len(json.dumps(one_gpu_host, separators=(",", ":"))) == 280
    replicated = ChannelPlan("training", Distribution.FULLY_REPLICATED, ())
    config = input_data_config(replace(plan, channels=(replicated,)))
    assert len(json.dumps(config, separators=(",", ":"))) == 107


def test_arguments_environment_files_and_archives(job: Job, run: Run) -> None:
    body = """
print(sys.argv[1:], os.environ["TRAINING_JOB_NAME"], os.environ["COLOUR"], "AWS_CANARY" in os.environ)
files = sorted(str(p.relative_to(root)) for p in (root / "input/data").rglob("*") if p.is_file())
(root / "model" / f"{host}.json").write_text(json.dumps(files))
(root / "output/data" / f"{host}.txt").write_text("output")
"""
    os.environ["AWS_CANARY"] = "secret"
    lines = Lines()
    try:
        outcome = run(job(body, hosts=2, parts=3, environment={"COLOUR": "red"}), lines)
    finally:
        del os.environ["AWS_CANARY"]

    assert outcome.status is JobStatus.COMPLETED
    assert outcome.exit_codes == {"algo-1": 0, "algo-2": 0}
    assert {text for _, _, text in lines.seen} == {"['train'] job red False"}
    model = members(outcome.model_archive)
    shards = {name: json.loads(content) for name, content in model.items()}
    manifest = ["input/data/train-manifest"]
    assert shards == {
        "algo-1.json": [*manifest, "input/data/train/nested/part-00000", "input/data/train/nested/part-00002"],
        "algo-2.json": [*manifest, "input/data/train/nested/part-00001"],
    }
    assert set(members(outcome.output_archive)) == {"algo-1.txt", "algo-2.txt"}
    logged = [json.loads(line) for line in outcome.log.read_text().splitlines()]
    assert {(entry["host"], entry["stream"]) for entry in logged} == {("algo-1", "stdout"), ("algo-2", "stdout")}


def test_entrypoint_and_arguments_take_the_place_of_train(job: Job, run: Run) -> None:
    plan = job("")
    for entrypoint, arguments, expected in [
        (None, ("a", "b"), "['a', 'b']"),
        (("python3", "-c", "import sys; print(sys.argv[1:])"), None, "[]"),
        (("python3", "-c", "import sys; print(sys.argv[1:])"), ("x",), "['x']"),
    ]:
        (Path(plan.source.image_uri) / "train").write_text(PRELUDE + "print(sys.argv[1:])")
        source = AlgorithmSource(plan.source.image_uri, entrypoint, arguments)
        directory = plan.run_directory / str(arguments) / str(entrypoint is None)
        lines = Lines()
        run(replace(plan, source=source, run_directory=directory), lines)
        assert [text for _, _, text in lines.seen] == [expected]


def test_an_algorithm_that_is_not_there(job: Job, run: Run, tmp_path: Path) -> None:
    plan = replace(job(""), source=AlgorithmSource("registry/image:latest"))

    with pytest.raises(HostStartError, match=r"no algorithm at|does not have the image"):
        run(plan)


def test_no_line_is_lost_and_none_is_mixed(job: Job, run: Run) -> None:
    body = """
import threading
sys.stdout.write("".join(f"{n}\\n" for n in range(20000)))
sys.stdout.flush()
os.write(2, b"\\xff\\xfe not utf-8\\n")
os.write(2, b"y" * 3_000_000 + b"\\n")
sys.stdout.write("no newline at the end")
"""
    lines = Lines()

    run(job(body, hosts=2), lines)

    for host in ("algo-1", "algo-2"):
        out = [text for name, stream, text in lines.seen if (name, stream) == (host, "stdout")]
        assert out == [*(str(n) for n in range(20000)), "no newline at the end"]
        err = [text for name, stream, text in lines.seen if (name, stream) == (host, "stderr")]
        assert "not utf-8" in err[0]
        assert "".join(err[1:]) == "y" * 3_000_000


@WHATEVER_KIND
@pytest.mark.parametrize(
    ("contents", "clash"), [(("same", "same"), False), (("one", "two"), True)], ids=["equal", "different"]
)
def test_files_of_hosts_are_merged_and_clashes_reported(
    job: Job, run: Run, contents: tuple[str, str], clash: bool
) -> None:
    body = f"(root / 'model' / 'shared').write_text({contents!r}[int(host[-1]) - 1])"

    outcome = run(job(body, hosts=2))

    if clash:
        assert outcome.status is JobStatus.FAILED
        assert outcome.failure_reason is not None
        assert "CR-JOB-101" in outcome.failure_reason
        assert "shared: differs between algo-1 and algo-2" in outcome.failure_reason
    else:
        assert members(outcome.model_archive) == {"shared": b"same"}


@WHATEVER_KIND
def test_crossing_the_cap_fails_the_job_and_leaves_nothing(job: Job, run: Run) -> None:
    outcome = run(job("(root / 'model' / 'big').write_bytes(bytes(2000))", max_artifact_bytes=1999))

    assert outcome.failure_reason is not None
    assert "CR-JOB-102" in outcome.failure_reason
    assert "model/big 2.0 kB" in outcome.failure_reason
    assert outcome.model_archive is None


@WHATEVER_KIND
def test_the_same_files_give_the_same_archive(job: Job, run: Run) -> None:
    plan = job("(root / 'model' / 'weights').write_text('w')")
    archives = []
    for name in ("one", "two"):
        outcome = run(replace(plan, run_directory=plan.run_directory / name))
        assert outcome.model_archive is not None
        archives.append(outcome.model_archive.read_bytes())

    assert archives[0] == archives[1]


@WHATEVER_KIND
def test_archives_are_plain_gzip(job: Job, run: Run) -> None:
    outcome = run(job("(root / 'model' / 'weights').write_text('w')"))

    assert outcome.model_archive is not None
    assert gzip.decompress(outcome.model_archive.read_bytes())
    assert outcome.packed_bytes > 0
    assert outcome.raw_bytes == 1
