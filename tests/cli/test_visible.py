"""Text that others wrote cannot control the terminal of its reader."""

from __future__ import annotations

import json

import pytest

from cleanroom_algo.cli.display import JobDisplay
from cleanroom_algo.cli.output import emit, emit_json, fields, say, table
from cleanroom_algo.cli.visible import visible

HOSTILE = "name\x1b[2J\x1b]0;title\x07\x9b31m\x7f\r\u00e9\ttab"
SHOWN = r"name\x1b[2J\x1b]0;title\x07\x9b31m\x7f\x0d" + "\u00e9\ttab"


def test_control_characters_are_written_out() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("two\nlines") == "two\nlines"


def test_everything_that_is_shown_goes_that_way(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    emit(HOSTILE)
    fields({"name": HOSTILE})
    table(("NAME",), [(HOSTILE,)])
    with JobDisplay(HOSTILE) as display:
        display.line("algo-1", "stdout", HOSTILE)
        display.ended(HOSTILE, None)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert shown.count(SHOWN) == 8
    assert not set(shown) & set("\x1b\x07\x9b\x7f\r")


def test_json_holds_the_text_itself(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"name": HOSTILE})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": HOSTILE}
    assert not set(shown) & set("\x1b\x07\x9b\x7f\r")
