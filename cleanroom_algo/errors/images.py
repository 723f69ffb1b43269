"""CR-IMG: images."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ImageError(CleanroomError):
    """Building and checking images."""

    exit_code = ExitCode.CONTRACT


class BuildError(ImageError):
    """The engine could not build the image.

    What it wrote is shown whole. The usual causes: the base image cannot be pulled, a package index is out of reach, or
    the algorithm's requirements.txt asks for something that has no wheel.
    """

    code = "CR-IMG-001"
    title = "image not built"
