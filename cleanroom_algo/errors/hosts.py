"""CR-HST: hosts."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError


class HostError(CleanroomError):
    """Where a container runs."""


class HostStartError(HostError):
    """A host cannot be started.

    Process and sandbox hosts run an algorithm that lies in a file or folder of this machine; images need a docker host.
    """

    code = "CR-HST-001"
    title = "host cannot be started"


class SandboxError(HostError):
    """This machine cannot make sandboxes.

    They need Linux, bubblewrap, iproute2 and util-linux, and the right to make namespaces: root's, or a kernel that
    lets users make them. Process hosts need nothing: set `host_kind = "process"` in the table `[machine]` of the file
    settings.toml.
    """

    code = "CR-HST-002"
    title = "sandbox not possible"


class EngineError(HostError):
    """No container engine of this machine can run the image.

    An image runs in Docker, or in podman where Docker does not answer. An algorithm's file or folder needs neither:
    give its path as `imageUri`, or with `--algorithm`.
    """

    code = "CR-HST-003"
    title = "no container engine"


class SageMakerError(HostError):
    """AWS refused a job that was to run in your own account.

    `host_kind = "sagemaker"` needs `sagemaker_role` and `sagemaker_place` (an s3:// URI) in the table `[machine]` of
    settings.toml, and credentials where boto3 finds them.
    """

    code = "CR-HST-004"
    title = "AWS refused the job"


class NetworkLostError(HostError):
    """The network of a job's sandboxes went away before the job had ended.

    The process that holds the network was killed. The hosts can no longer reach each other, and the clean room can no
    longer reach a serving container, so the job is ended.
    """

    code = "CR-HST-006"
    title = "network of the job lost"
