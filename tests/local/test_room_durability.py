"""kill -9, two servers, cleaning up: a truthful state, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.errors import JobLostError, PortTakenError, RoomInUseError, RoomSettingsError, RoomStateError
from cleanroom_algo.local.resources.settings import Machine, RoomSettings
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.scheduling.cleanup import clean
from tests.cli.support import run
from tests.local.api.server import up
from tests.local.support import AIRLINE, AIRLINE_ID, SETTINGS, RoomFixture


def sleeping_in(home: Path) -> list[psutil.Process]:
    """Return the processes whose command line names a state folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = " ".join(process.info["cmdline"] or ()) + str(process.info["environ"] or "")
        if str(home) in words and process.pid != os.getpid():
            found.append(process)
    return found


def gone(home: Path) -> bool:
    limit = time.monotonic() + 30
    while sleeping_in(home) and time.monotonic() < limit:
        time.sleep(0.05)
    return not sleeping_in(home)


def test_a_server_killed_in_the_middle_of_a_job(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(120)")
    with up(home) as first:
        client = first.client(AIRLINE)
        arns = [client.create_trained_model(**desk.training())["trainedModelArn"] for _ in range(3)]
        own = {"membershipIdentifier": AIRLINE_ID}
        limit = time.monotonic() + 30
        while client.get_trained_model(**own, trainedModelArn=arns[0])["status"] != "CREATE_IN_PROGRESS":
            assert time.monotonic() < limit
            time.sleep(0.05)
        client.cancel_trained_model(**own, trainedModelArn=arns[0])
        master = psutil.Process(first.process.pid)
        workers = master.children()
        for process in [master, *workers]:  # the master first: it would start another worker
            process.send_signal(signal.SIGKILL)
        first.process.wait()
        # A process that is ending has no command line any more, and its locks still.
        assert not psutil.wait_procs(workers, timeout=30)[1]
    assert gone(home), sleeping_in(home)
    with Room(home, SETTINGS) as room:
        states = [room.store.get("trained-model", arn) for arn in arns]
        assert all(states)
        assert states[0] is not None
        assert states[0].status == "INACTIVE"  # it was being cancelled
        for record in states[1:]:
            assert record is not None
            if record.status == "CREATE_FAILED":  # it ran, too
                assert record.document["statusDetails"]["statusCode"] == JobLostError.code
            else:  # it waits for the next server
                assert record.status == "CREATE_PENDING"
        assert not list((home / "models").glob("*"))


def test_a_waiting_job_is_run_by_the_next_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        record = desk.add_model(1, status="CREATE_PENDING")
        room.store.add_job(record, hosts=1)
    with up(home) as server:
        limit = time.monotonic() + 30
        client = server.client(AIRLINE)
        while (
            client.get_trained_model(membershipIdentifier=AIRLINE_ID, trainedModelArn=record.key)["status"] != "ACTIVE"
        ):
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_two_servers_on_one_folder_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home):
        second = subprocess.run(
            [sys.executable, "-m", "cleanroom_algo.cli", "up", "--port", "0", "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == RoomInUseError.exit_code
        assert "CR-ROM-001" in second.stderr
        with pytest.raises(RoomInUseError):
            clean(home)
    with up(home):
        pass


def test_a_port_that_another_process_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", "--port", port, "--home", tmp_path)
    assert done.status == PortTakenError.exit_code
    assert "CR-ROM-009" in done.stderr
    assert f"port {port}" in done.stderr
    assert done.stdout == ""


def test_leaving_a_room_stops_its_jobs(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(120)")
        arns = [room.call("CreateTrainedModel", desk.training(), AIRLINE)["trainedModelArn"] for _ in range(3)]
        heard = threading.Event()

        class Ear:
            def line(self, host: str, stream: str, text: str) -> None:
                heard.set()

            def progress(self, progress: object) -> None:
                return

        room.supervisor.listen(arns[0], None, Ear())
        assert heard.wait(30)
    assert gone(tmp_path / "home")
    with Room(tmp_path / "home", SETTINGS) as room:
        records = [room.store.get("trained-model", arn) for arn in arns]
        assert [record.status for record in records if record] == ["CREATE_FAILED"] * 3
        assert room.store.jobs() == []


def test_nothing_is_left_after_cleaning(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        assert desk.train().status == "ACTIVE"
    assert clean(home)
    assert not home.exists()
    assert clean(home) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "room.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(RoomStateError):
        Room(tmp_path)


@pytest.mark.parametrize("verb", [("show",), ("up", "--port", "0"), ("train", "x.py", "--channel", "train=x.py")])
@pytest.mark.parametrize("place", ["a file", "no folder can be made"])
def test_a_state_folder_that_cannot_be_one(tmp_path: Path, verb: tuple[str, ...], place: str) -> None:
    home = tmp_path / "home"
    home.touch()
    (tmp_path / "x.py").touch()
    words = [str(tmp_path / word) if word == "x.py" else word.replace("=x.py", f"={tmp_path}/x.py") for word in verb]
    done = run(*words, "--home", home if place == "a file" else home / "below")
    assert done.status == RoomStateError.exit_code
    assert "CR-ROM-002" in done.stderr
    assert str(home) in done.stderr


@pytest.mark.parametrize("text", ["[", "[quotas]\nx = 1", "[switches]\nget_default = 'newest'", "[machine]\nhosts = 0"])
def test_settings_that_are_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(RoomSettingsError):
        RoomSettings.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('hosts = "process"', "hosts: is a kind of hosts, which is set by host_kind in the table [machine]"),
        ('[machine]\nhosts = "docker"', "machine.hosts: is a kind of hosts, which is set by host_kind"),
        ('[machine]\nhostkind = "x"', "machine.hostkind: is not a setting; did you mean 'host_kind'?"),
        ('region = "us-east-1"', "region: belongs in the table [machine]"),
        ("[machin]\nhosts = 2", "machin: is not a setting; did you mean 'machine'?"),
    ],
)
def test_a_wrong_setting_is_told_with_the_right_one(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(RoomSettingsError) as caught:
        RoomSettings.read(tmp_path)
    [problem] = map(str, caught.value.problems)
    assert problem.startswith(told)


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "room.sqlite") as store:

        def half() -> None:
            with store.transaction():
                store.insert(Record(kind="k", key="1"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            half()
        assert store.get("k", "1") is None


def test_threads_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "room.sqlite") as store:
        store.insert(Record(kind="k", key="1", document={"n": 0}))

        def count() -> None:
            for _ in range(50):
                with store.transaction():
                    record = store.get("k", "1")
                    assert record is not None
                    store.update(record, document={"n": record.document["n"] + 1})

        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        record = store.get("k", "1")
        assert record is not None
        assert record.document["n"] == 300


COMMAND = """
import sys
from pathlib import Path
from cleanroom_algo.local.room import Room
from tests.local.support import SETTINGS, RoomFixture

with Room(Path(sys.argv[1]), SETTINGS) as room:
    desk = RoomFixture(room, Path(sys.argv[2]), body="time.sleep(120)")
    arn = room.call("CreateTrainedModel", desk.training(), "111122223333")["trainedModelArn"]
    print(arn, flush=True)
    room.wait(arn)
"""


def test_a_server_settles_the_job_of_a_command_that_was_killed(tmp_path: Path) -> None:
    """And before that it counts the command's hosts among those that this machine can bear."""
    home = tmp_path / "home"
    words = [sys.executable, "-c", COMMAND, str(home), str(tmp_path)]
    command = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    lost = command.stdout.readline().strip()
    one_host = SETTINGS.model_copy(update={"machine": Machine(hosts=1)})
    with Room(home, one_host, serving=True) as room:
        wait_for(room, lost, "CREATE_IN_PROGRESS")
        record = RoomFixture(room, tmp_path / "other", name="other").add_model(2, status="CREATE_PENDING")
        room.workspace.enqueue(record, hosts=1)
        room.supervisor.wake()
        room.supervisor.wait_for_change(1.0)  # it had its chance
        waiting = room.store.get(record.kind, record.key)
        assert waiting is not None
        assert waiting.status == "CREATE_PENDING"
        command.kill()
        command.wait()
        command.stdout.close()

        assert room.wait(lost, timeout=30).document["statusDetails"]["statusCode"] == JobLostError.code
        assert room.wait(record.key, timeout=30).status == "ACTIVE"


FULL = """
import contextlib, resource, sys
from pathlib import Path
from cleanroom_algo.errors import RoomStateError
from cleanroom_algo.local.room import Room
from tests.local.support import SETTINGS, RoomFixture

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

home, go = Path(sys.argv[1]), Path(sys.argv[2]) / "go"
with Room(home, SETTINGS) as room:
    body = f"print('here')\\nwhile not Path({str(go)!r}).exists():\\n    time.sleep(0.02)"
    desk = RoomFixture(room, go.parent, body=body)
    arn = room.call("CreateTrainedModel", desk.training(), "111122223333")["trainedModelArn"]
    while room.store.get("trained-model", arn).status != "CREATE_IN_PROGRESS":
        room.supervisor.wait_for_change(0.02)
    limit(0)
    go.symlink_to(".")
    try:
        room.wait(arn, timeout=60)
    except RoomStateError as error:
        print(error.code)
    if sys.argv[3] == "freed":
        limit(resource.RLIM_INFINITY)
        record = None
        while record is None:
            with contextlib.suppress(RoomStateError):
                record = room.wait(arn, timeout=60)
        print(record.document["statusDetails"]["statusCode"])
limit(resource.RLIM_INFINITY)
with Room(home, SETTINGS) as room:
    print(room.store.get("trained-model", arn).document["statusDetails"]["statusCode"])
"""


@pytest.mark.parametrize(
    ("then", "told"),
    [("freed", ["CR-ROM-002", "CR-JOB-304", "CR-JOB-304"]), ("full", ["CR-ROM-002", JobLostError.code])],
)
def test_a_job_whose_end_no_disk_takes(tmp_path: Path, then: str, told: list[str]) -> None:
    """It fails when there is room again; or whoever opens the room next finds it lost."""
    home = tmp_path / "home"
    words = [sys.executable, "-c", FULL, str(home), str(tmp_path), then]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == told, done.stderr
    assert "Traceback" not in done.stderr
    assert not list((home / "models").glob("*"))
    assert gone(home)


def wait_for(room: Room, arn: str, status: str) -> None:
    limit = time.monotonic() + 30
    while (found := room.store.get("trained-model", arn)) is None or found.status != status:
        assert time.monotonic() < limit
        room.supervisor.wait_for_change(0.05)
