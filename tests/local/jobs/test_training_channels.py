"""Channels of training jobs on every kind of host: base models, pipes, FastFile."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.outcomes import JobStatus
from cleanroom_algo.local.plans.training_plan import BaseModel, HostPlan, TrainingPlan, epoch_objects
from tests.local.jobs.support import Job, Lines, Run
from tests.local.support import text_of


@pytest.mark.parametrize(("packed", "mode"), [(True, InputMode.FAST_FILE), (False, InputMode.PIPE)])
def test_the_base_model_arrives_as_files_whatever_the_input_mode(
    job: Job, run: Run, tmp_path: Path, packed: bool, mode: InputMode
) -> None:
    first = run(job("(root / 'model' / 'weights').write_text('w')"))
    assert first.model_archive is not None
    body = """
config = json.loads((root / "input/config/inputdataconfig.json").read_text())
print(sorted(p.name for p in (root / "input/data/base").iterdir()), config["base"]["TrainingInputMode"])
"""
    plan = job(body, mode=mode, base_model=BaseModel("base", first.model_archive, packed))
    lines = Lines()

    run(replace(plan, run_directory=tmp_path / "second"), lines)

    assert [text for _, _, text in lines.seen] == [f"{['model.tar.gz' if packed else 'weights']} File"]


def test_pipes_carry_every_epoch_and_survive_an_early_close(job: Job, run: Run) -> None:
    body = """
def read(epoch, limit=-1):
    path = root / f"input/data/train_{epoch}"
    while not path.exists(): time.sleep(0.01)
    with open(path, "rb") as pipe: return pipe.read(limit)
print(read(0), read(1, 2), read(2), (root / "input/data/train").exists())
"""
    lines = Lines()

    outcome = run(job(body, parts=3, mode=InputMode.PIPE), lines)

    assert outcome.status is JobStatus.COMPLETED
    assert [text for _, _, text in lines.seen] == ["b'0\\n1\\n2\\n' b'0\\n' b'0\\n1\\n2\\n' False"]


def test_a_pipe_that_cannot_be_fed_does_not_end_like_one_that_was_fed(
    job: Job, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a pipe passes for the end of the data: the room's own failure, whatever it is, must not be one."""

    def objects(plan: TrainingPlan, host: HostPlan, channel: str, epoch: int) -> tuple[ObjectRef, ...]:
        if epoch:
            raise MemoryError("no room for the list")
        return epoch_objects(plan, host, channel, epoch)

    monkeypatch.setattr("cleanroom_algo.local.hosts.delivery.epoch_objects", objects)
    body = """
for epoch in range(2):
    path = root / f"input/data/train_{epoch}"
    while not path.exists(): time.sleep(0.01)
    print(path.read_text().split(), flush=True)
"""
    lines = Lines()

    with pytest.raises(MemoryError, match="no room for the list"):
        run(job(body, parts=2, mode=InputMode.PIPE), lines)

    assert [text for _, _, text in lines.seen] == ["['0', '1']"]


def test_fast_file_shows_the_same_tree(job: Job, run: Run) -> None:
    body = "print((root / 'input/data/train/nested/part-00001').read_text().strip())"
    lines = Lines()

    run(job(body, parts=2, mode=InputMode.FAST_FILE), lines)

    assert [text for _, _, text in lines.seen] == ["1"]


def test_writing_to_a_fast_file_channel_is_noticed_and_harms_nothing(job: Job, run: Run, kind: str) -> None:
    body = """
(root / "model" / "weights").write_text("w")
for path in (root / "input/data/train/nested/part-00000", root / "input/data/train/new"):
    try:
        path.write_text("mine")
    except OSError as error:
        print(error.strerror)
"""
    lines = Lines()
    plan = job(body, parts=2, mode=InputMode.FAST_FILE)

    outcome = run(plan, lines)

    assert [text_of(each) for each in plan.channels[0].objects] == ["0\n", "1\n"]
    if kind != "process":
        assert [text for _, _, text in lines.seen] == ["Read-only file system"] * 2
    elif os.geteuid():
        assert [text for _, _, text in lines.seen] == ["Permission denied"] * 2
    else:  # permissions do not bind root
        assert outcome.status is JobStatus.FAILED
        assert outcome.model_archive is None
        assert "train/nested/part-00000, algo-1: train/new" in str(outcome.failure_reason)
        assert "CR-JOB-103" in str(outcome.failure_reason)


def test_objects_of_a_pipe_are_shuffled_for_each_epoch_where_that_is_asked_for(job: Job, run: Run) -> None:
    body = """
def read(epoch):
    path = root / f"input/data/train_{epoch}"
    while not path.exists(): time.sleep(0.01)
    return path.read_text().split()
print(*(",".join(read(epoch)) for epoch in range(3)))
"""
    lines = Lines()

    outcome = run(replace(job(body, parts=12, hosts=2, mode=InputMode.PIPE), shuffle_pipes=True), lines)

    assert outcome.status is JobStatus.COMPLETED
    both = [[epoch.split(",") for epoch in text.split()] for _, _, text in lines.seen]
    for epoch in range(3):  # sharded: each object once over the hosts
        assert sorted(map(int, both[0][epoch] + both[1][epoch])) == list(range(12))
    assert len({tuple(epoch) for epoch in both[0]}) == 3
