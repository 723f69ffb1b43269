"""JSON files of users."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cleanroom_algo.errors import CleanroomError


def read_json(path: Path, unusable: Callable[[Path, str], CleanroomError]) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        unusable: returns the error to raise for the file and the fault.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unusable(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise unusable(path, f"is not JSON: {error}") from error
