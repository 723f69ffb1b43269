"""The command `cleanroom-algo`: stdout carries results, stderr carries messages, the exit status says what happened."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (an `ExitCode`).

    Args:
        argv: the words after the command's name; by default, those of the process.
    """
    import sys

    from cleanroom_algo.cli.run import run

    return run(list(sys.argv[1:] if argv is None else argv))
