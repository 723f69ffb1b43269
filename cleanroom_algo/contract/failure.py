"""The failure file: the one text that always reaches the author.

The platform shows its first 1024 characters (SageMaker developer guide, "How Amazon SageMaker processes training
output"; Clean Rooms ML returns them in GetTrainedModel.statusDetails). Here the limit counts UTF-8 bytes, which is the
stricter reading.
"""

from __future__ import annotations

import os

from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.tree import Tree

LIMIT_BYTES = 1024


def failure_text(error: BaseException, redact: Redactor | None = None) -> str:
    """Return what to write: the cause first, then where in the algorithm it happened, at most 1024 bytes.

    Args:
        error: the cause.
        redact: of the algorithm; without it, only the class and known phrases of an exception are shown.
    """
    return cut((redact or Redactor()).describe(error))


def write_failure(paths: Paths, text: str) -> bool:
    """Write the first 1024 bytes of a text as the failure file, unless one with an earlier cause exists.

    Write it last: after it the process should only exit.

    Returns:
        Whether the file was written; False where an earlier cause was kept.
    """
    paths.output.mkdir(parents=True, exist_ok=True)
    draft = paths.output / f".failure-{os.getpid()}"
    draft.write_text(cut(text), encoding="utf-8")
    try:
        if paths.failure.exists() and paths.failure.stat().st_size == 0:
            draft.replace(paths.failure)
        else:
            os.link(draft, paths.failure)  # fails where the file exists: the first of two writers wins
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_failure(paths: Paths) -> str | None:
    """Return the failure text of a container as the platform would show it, or None if there is none.

    If something other than a file is in its place, it is not read, and the text says so.
    """
    name = paths.failure.relative_to(paths.root).as_posix()
    try:
        with Tree(paths.root) as tree, tree.open(name) as file:
            text = file.read(4 * LIMIT_BYTES).decode("utf-8", errors="replace")[:LIMIT_BYTES]
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the failure file, {name}, cannot be read: it {error.strerror}"
    return text or None


def cut(text: str) -> str:
    """Return a text cut to 1024 UTF-8 bytes on a character boundary."""
    encoded = text.encode("utf-8", errors="replace")
    return encoded[:LIMIT_BYTES].decode("utf-8", errors="ignore")
