"""CR-IMG: images."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ImageError(CleanroomError):
    """Building and checking images."""

    exit_code = ExitCode.CONTRACT


class BuildError(ImageError):
    """The container engine could not build the image.

    The complete output of the engine is shown. The usual causes are that the base image cannot be pulled, that a
    package index cannot be reached, or that the algorithm's requirements.txt names a package without a wheel.
    """

    code = "CR-IMG-001"
    title = "image not built"
