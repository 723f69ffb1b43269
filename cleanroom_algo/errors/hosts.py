"""CR-HST: hosts."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError


class HostError(CleanroomError):
    """The hosts on which containers run."""


class HostStartError(HostError):
    """A host cannot be started.

    Process hosts and sandboxes run an algorithm from a file or folder on this machine. Images need docker hosts.
    """

    code = "CR-HST-001"
    title = "host cannot be started"


class SandboxError(HostError):
    """This machine cannot create sandboxes.

    Sandboxes need Linux, bubblewrap, iproute2, util-linux, and the permission to create namespaces: either root, or a
    kernel that allows it to users. Process hosts have no requirements. To use them, set `host_kind = "process"` in
    settings.toml, table `[machine]`.
    """

    code = "CR-HST-002"
    title = "sandbox cannot be created"


class EngineError(HostError):
    """No container engine on this machine can run the image.

    Images run in Docker, or in Podman if Docker does not respond. An algorithm in a file or folder needs neither: use
    its path as `imageUri`, or the option `--algorithm`.
    """

    code = "CR-HST-003"
    title = "no container engine"


class SageMakerError(HostError):
    """AWS refused a job in your own account.

    `host_kind = "sagemaker"` needs `sagemaker_role` and `sagemaker_place` (an s3:// URI) in settings.toml, table
    `[machine]`, and credentials that boto3 can find.
    """

    code = "CR-HST-004"
    title = "AWS refused the job"


class NetworkLostError(HostError):
    """The network between the sandboxes of a job ended before the job.

    The process that holds the network was killed. The hosts can no longer reach each other, and the clean room can no
    longer reach a serving container, so the job is ended. Start the job again.
    """

    code = "CR-HST-006"
    title = "network of the job lost"
