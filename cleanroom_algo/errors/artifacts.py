"""CR-ART: artifacts."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ArtifactError(CleanroomError):
    """Model artifacts and their maximum size."""


class ManifestError(ArtifactError):
    """The model directory has no readable manifest.json.

    A Trainer writes the manifest last. If there is none, the artifacts are incomplete, or another program wrote them.
    Use the artifacts of a training that succeeded.
    """

    code = "CR-ART-001"
    title = "manifest missing or unreadable"


class ArtifactChangedError(ArtifactError):
    """Files of the artifacts differ from the manifest.

    The manifest lists the size and the SHA-256 of each file. A difference means that the artifacts were truncated or
    changed after the training. Use the artifacts as the training wrote them.
    """

    code = "CR-ART-002"
    title = "artifacts differ from their manifest"


class ArtifactTooLargeError(ArtifactError):
    """The artifacts would exceed the maximum size of the association (trainedModels.maxArtifactSize).

    The container receives this maximum in the setting CLEANROOM_ALGO_MAX_ARTIFACT_GB. The files are counted before they
    are packed, which is the stricter reading. The sizes of tensors are known before the first byte is written.
    Therefore, no partial artifacts are left, and the last artifacts that were saved stay unchanged.

    To save less, omit the state of the optimizer (`save_optimizer = False`), or store tensors in half precision
    (`save_dtype = "bfloat16"`). In the local clean room, the status code of the job is CR-JOB-102, whether the
    container or the clean room detects the problem first.
    """

    code = "CR-ART-003"
    title = "model artifacts too large"


class ArtifactWriteError(ArtifactError):
    """The artifacts cannot be written to the disk.

    The disk is full or read-only, a quota is exceeded, or fsync failed. The last artifacts that were saved stay
    unchanged. Free some space, or use a larger volume.
    """

    code = "CR-ART-004"
    title = "artifacts not written"


class ArtifactClashError(ArtifactError):
    """Two files of the artifacts have the same name, or a name is not allowed.

    Rename the files in the code that saves them.
    """

    code = "CR-ART-005"
    title = "conflicting artifact names"


class ArtifactArchiveRefusedError(ArtifactError):
    """A model.tar.gz contains something that a model never needs.

    It contains links, devices, paths outside its folder, a name more than once, or more files or bytes than the limits
    allow. Nothing from such an archive is used. Create the archive again with regular files only.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-ART-006"
    title = "archive of a trained model refused"


class ArtifactArchiveUnreadableError(ArtifactError):
    """A model.tar.gz is truncated or damaged, or its unpacked files do not fit on the disk."""

    exit_code = ExitCode.CONTRACT
    code = "CR-ART-007"
    title = "archive of a trained model unreadable"


class ArtifactKindError(ArtifactError):
    """The artifacts contain something that is not a file.

    It is a link to a place outside the model directory, a named pipe, a socket or a device. A link to a file in the
    model directory is packed as a copy of the file. A file outside would be missing where the artifacts are unpacked,
    so copy it into the model directory. The error also occurs if the model directory itself was replaced.
    """

    code = "CR-ART-008"
    title = "artifact is not a regular file"
