"""The container engine of this machine: docker or a replacement."""

from __future__ import annotations

import functools
import shutil
import subprocess

from cleanroom_algo.errors import EngineError

_SECONDS = 60.0


@functools.cache
def find_engine(*names: str) -> str:
    """Return the first of some engines that responds; a docker client without its engine does not.

    Raises:
        EngineError: CR-HST-003, none responds.
    """
    told = []
    for name in names:
        if shutil.which(name) is None:
            told.append(f"{name} is not installed")
            continue
        done = call(name, "info")
        if done.returncode == 0:
            return name
        told.append(f"{name}: {done.stderr.strip()[-200:] or 'no answer'}")
    raise EngineError(
        f"no container engine answers ({'; '.join(told)})",
        expected=f"one of {', '.join(names)}",
        fix="install an engine, or start its service; the file or folder of an algorithm needs no engine",
    )


def call(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Return the result of a short command of an engine; without a response within a minute, the command has failed."""
    try:
        return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([program, *words], 1, "", f"no answer within {_SECONDS:g} s")
