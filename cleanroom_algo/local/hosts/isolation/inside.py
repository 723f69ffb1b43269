"""The first program in a sandbox: it sets the container's environment and becomes its main process.

Run by `isolated_python` with the arguments MAPPED COMMAND..., where MAPPED is 1 if this process must change to uid 0,
which is another user outside. Standard input contains the environment: NAME=value, each followed by NUL. Programs
outside of the sandbox never get it, because variables such as LD_PRELOAD name code that any program would run.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def run() -> None:
    """Start the command in this process."""
    mapped, command = sys.argv[1] == "1", sys.argv[2:]
    environment = dict(each.split(b"=", 1) for each in sys.stdin.buffer.read().split(b"\0") if each)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if mapped:
        _become_root()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and the command would inherit that
    try:
        os.execve(command[0], command, environment)  # noqa: S606
    except OSError as error:
        raise SystemExit(f"{command[0]} cannot be executed: {error.strerror}") from None


def _become_root() -> None:
    import ctypes

    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel clears it when the user changes
