"""Importing an algorithm in a process of its own, to see whether it can be: what it does meanwhile harms nobody."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import traceback
from pathlib import Path

from cleanroom_algo.contract.algorithm import algorithm_file, load_algorithm
from cleanroom_algo.errors import AlgorithmImportError, AlgorithmNotFoundError

_SECONDS = 120.0  # of a process that imports; more is a matter of what the module does, not of whether it imports


def find_import_error(source: Path) -> AlgorithmImportError | None:
    """Return why an algorithm cannot be imported with this Python; None if it can.

    Args:
        source: a file or folder; one with programs of its own and no algorithm.py is not imported by anybody.
    """
    try:
        file = algorithm_file(source)
    except AlgorithmNotFoundError:
        return None
    if file is None:
        return None  # an image, or a module by its name
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return import_error(f"{file.name}: Python ended with status {done.returncode} while it was imported")
    what = json.loads(done.stdout.splitlines()[-1])
    return None if what is None else import_error(what)


def import_error(what: str) -> AlgorithmImportError:
    """Return the error of an algorithm that cannot be imported."""
    return AlgorithmImportError(
        what,
        expected="a file that can be imported where the algorithm runs",
        fix="correct the line, or install what it imports; an image installs what its requirements.txt names",
    )


def describe(error: BaseException, folder: Path) -> str:
    """Return where in a folder an import failed, and why."""
    own = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(folder)]
    place = f"{Path(own[-1].filename).relative_to(folder)}:{own[-1].lineno}: " if own else ""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        place = f"{Path(error.filename).relative_to(folder)}:{error.lineno}: "
        return f"{place}{type(error).__name__}: {error.msg}"
    return f"{place}{type(error).__name__}: {error}"


def _main() -> None:
    file = Path(sys.argv[1])
    what = None
    with contextlib.redirect_stdout(sys.stderr):
        try:
            load_algorithm(file)
        except BaseException as error:  # also SystemExit: a module that ends the program cannot be imported
            what = describe(error, file.parent)
    print(json.dumps(what))


if __name__ == "__main__":
    _main()
