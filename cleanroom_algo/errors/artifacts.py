"""CR-ART: artifacts."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ArtifactError(CleanroomError):
    """What a job leaves behind, and its cap."""


class ManifestError(ArtifactError):
    """The model directory has no readable manifest.json.

    A Trainer writes it last, so a directory without one was not written whole, or by something else.
    """

    code = "CR-ART-001"
    title = "no usable manifest"


class ArtifactChangedError(ArtifactError):
    """Files of the artifacts differ from what the manifest lists.

    Each file is listed with its size and SHA-256. A difference means that the artifacts were cut short or changed.
    """

    code = "CR-ART-002"
    title = "artifacts differ from their manifest"


class ArtifactTooLargeError(ArtifactError):
    """The artifacts would be larger than the cap of the association (trainedModels.maxArtifactSize).

    The cap reaches the container as the setting CLEANROOM_ALGO_MAX_ARTIFACT_GB, counted before packing, which is the
    stricter reading. Sizes of tensors are known before a byte is written, so nothing partial is left: the artifacts of
    the last good state stay as they are. Leave the optimizer out (`save_optimizer = False`), or store halves
    (`save_dtype = "bfloat16"`). In the local clean room the job's status code is CR-JOB-102, whether the container
    or the room notices it first.
    """

    code = "CR-ART-003"
    title = "model artifacts too large"


class ArtifactWriteError(ArtifactError):
    """The disk did not take the artifacts: full, read-only, over a quota, or a failed fsync.

    The artifacts of the last good state stay as they are.
    """

    code = "CR-ART-004"
    title = "artifacts not written"


class ArtifactClashError(ArtifactError):
    """Two files of the artifacts have one name, or a name that cannot be used."""

    code = "CR-ART-005"
    title = "artifact names clash"


class ArtifactArchiveRefusedError(ArtifactError):
    """A model.tar.gz holds something that a model never needs.

    It holds links, devices, paths outside its folder, a name twice, or more files or bytes than the limits. Nothing of
    a refused archive is used.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-ART-006"
    title = "archive of a trained model refused"


class ArtifactArchiveUnreadableError(ArtifactError):
    """A model.tar.gz is cut short or damaged, or does not fit on the disk when it is unpacked."""

    exit_code = ExitCode.CONTRACT
    code = "CR-ART-007"
    title = "archive of a trained model unreadable"


class ArtifactKindError(ArtifactError):
    """Something among the artifacts is not a file: a link to the outside, a named pipe, a socket or a device.

    A link to something in the model directory becomes a copy of it. What lies outside would be missing wherever the
    artifacts are unpacked. A model directory that was replaced by something else is an error, too.
    """

    code = "CR-ART-008"
    title = "artifact is not a regular file"
