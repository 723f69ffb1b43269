"""CR-IMG: images."""

from __future__ import annotations

from cleanroom_algo.contract.exit_codes import ExitCode
from cleanroom_algo.errors.base import CleanroomError


class ImageError(CleanroomError):
    """Building and checking images."""

    exit_code = ExitCode.CONTRACT
