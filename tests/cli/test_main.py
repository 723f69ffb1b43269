"""The frame of the command: verbs, errors, exit statuses, streams."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click
import pytest

from cleanroom_algo.cli import audit, deploy
from cleanroom_algo.cli.explain import EXIT_STATUSES
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import command_line, next_commands
from cleanroom_algo.cli.run import COMPLETE_VARIABLE
from cleanroom_algo.cli.verbs import VERBS, Verbs, root
from cleanroom_algo.errors import ExtraMissingError, InternalError, OutputUnwritableError, UsageError
from cleanroom_algo.errors.exit_codes import ExitCode
from tests.cli.support import run

COMMAND = [sys.executable, "-m", "cleanroom_algo.cli"]
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> dict[str, click.Command]:
    """Let a test add a verb of its own."""
    extra: dict[str, click.Command] = {}
    known = Verbs.get_command
    monkeypatch.setattr(Verbs, "get_command", lambda self, ctx, name: extra.get(name) or known(self, ctx, name))
    return extra


GROUPS = {"audit": audit.LINES, "deploy": deploy.LINES}
COMMANDS = [*VERBS, *(f"{group} {name}" for group, names in GROUPS.items() for name in names)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_takes_json(name: str) -> None:
    command: click.Command | None = root
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    assert any("--json" in option.opts for option in command.params) or name in ("up", *GROUPS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_verb_has_help_with_an_example(name: str) -> None:
    done = run(*name.split(), "--help")
    assert done.status == 0
    examples = done.stdout.split("\n  Examples:\n")[1]
    spelled = f"cleanroom-algo {name.removesuffix(' model')}"  # the command that `audit` stands for by itself
    assert examples.startswith(f"    {spelled}") or spelled in examples.splitlines()[0]
    assert "\\b" not in done.stdout


def test_without_words_it_shows_examples() -> None:
    done = run()
    assert done.status == 0
    assert done.stdout.count("  cleanroom-algo ") >= 3


def test_an_unknown_verb_is_named_with_a_suggestion() -> None:
    done = run("trian")
    assert done.status == ExitCode.USAGE
    assert "did you mean 'train'" in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_is_a_usage_error_in_json() -> None:
    done = run("explain", "--jsn", "--json")
    assert done.status == ExitCode.USAGE
    assert done.json["error"]["code"] == UsageError.code
    assert done.stderr == ""


@pytest.mark.process  # Python asks `uname` once what machine this is
def test_a_defect_is_reported_without_the_values_of_options(
    verb: dict[str, click.Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    @click.command()
    @click.option("--token")
    def broken(token: str) -> None:
        raise RuntimeError("boom")

    verb["broken"] = broken
    done = run("broken", "--token=secret-word")
    assert done.status == ExitCode.INTERNAL
    assert InternalError.code in done.stderr
    (report,) = tmp_path.iterdir()
    assert str(report) in done.stderr
    assert "RuntimeError: boom" in report.read_text()
    assert "secret-word" not in report.read_text()


@pytest.mark.parametrize("requirement", PROJECT["optional-dependencies"]["local"])
def test_a_package_that_is_missing_is_named_with_its_extra(verb: dict[str, click.Command], requirement: str) -> None:
    name = re.split("[<>=]", requirement)[0]

    @click.command()
    def lacking() -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    verb["lacking"] = lacking
    done = run("lacking")
    assert done.status == ExtraMissingError.exit_code
    assert done.stderr.startswith(f"{ExtraMissingError.code}  {name} is not installed\n")
    assert "pip install 'cleanroom-algo[local]'" in done.stderr


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), ExitCode.INTERRUPTED), (click.Abort(), ExitCode.INTERRUPTED), (SystemExit(3), 3)],
)
def test_an_end_has_its_status(verb: dict[str, click.Command], raised: BaseException, status: int) -> None:
    @click.command()
    def ending() -> None:
        raise raised

    verb["ending"] = ending
    assert run("ending").status == status


def test_sigterm_unwinds(verb: dict[str, click.Command]) -> None:
    unwound = []

    @click.command()
    def waiting() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            unwound.append(True)

    verb["waiting"] = waiting
    before = signal.getsignal(signal.SIGTERM)
    assert run("waiting").status == ExitCode.STOPPED
    assert unwound == [True]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.process
def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "explain"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == ExitCode.BROKEN_PIPE
    assert done.stderr == ""


@pytest.mark.process
def test_results_and_talk_are_apart() -> None:
    done = subprocess.run([*COMMAND, "explain", "exit-status", "--json"], capture_output=True, text=True, check=True)
    assert {row["status"] for row in json.loads(done.stdout)} == {int(code) for code in ExitCode}
    assert done.stderr == ""


def test_every_exit_status_is_explained() -> None:
    assert set(EXIT_STATUSES) == set(ExitCode)


def test_explain_settings_lists_them_all() -> None:
    done = run("explain", "settings")
    assert "CLEANROOM_ALGO_MAX_ARTIFACT_GB" in done.stdout


def test_explain_suggests() -> None:
    done = run("explain", "CR-CHN-0005")
    assert done.status == ExitCode.USAGE
    assert "did you mean" in done.stderr


def test_a_full_output_is_no_defect(verb: dict[str, click.Command]) -> None:
    @click.command()
    @json_option
    def writing(as_json: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    verb["writing"] = writing
    for words in (["writing"], ["writing", "--json"]):  # as JSON the error could not be written either
        done = run(*words)
        assert (done.status, done.stdout) == (ExitCode.USAGE, "")
        assert done.stderr.startswith(f"{OutputUnwritableError.code}  the output cannot be written: No space left")


def test_suggested_commands_can_be_pasted(verb: dict[str, click.Command]) -> None:
    @click.command()
    @home_option
    def suggesting(home: Path | None) -> None:
        next_commands(command_line("show", "late flights"))

    verb["suggesting"] = suggesting
    assert "  cleanroom-algo show 'late flights'\n" in run("suggesting").stderr
    assert "  cleanroom-algo show 'late flights' --home 'my room'\n" in run("suggesting", "--home", "my room").stderr


def test_operations_are_found_in_any_case() -> None:
    assert run("differences", "createTRAINEDmodel").stdout == run("differences", "CreateTrainedModel").stdout


def test_a_path_without_a_file_is_no_image() -> None:
    done = run("check", "nothere.py")
    assert done.status == ExitCode.CONTRACT
    assert done.stderr.startswith("CR-CON-004  there is nothing at 'nothere.py'")


@pytest.mark.process
def test_the_shell_completes_verbs() -> None:
    asked = {"COMP_WORDS": "cleanroom-algo tr", "COMP_CWORD": "1", COMPLETE_VARIABLE: "bash_complete"}
    done = subprocess.run(COMMAND, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,train\n"
