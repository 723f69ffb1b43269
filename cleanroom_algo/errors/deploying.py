"""CR-DEP: bringing an algorithm to AWS."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class DeployError(CleanroomError):
    """Bringing an algorithm to AWS."""

    exit_code = ExitCode.CONTRACT


class TemplateError(DeployError):
    """A room cannot be written as a CloudFormation template.

    CloudFormation replaces a text such as `{{resolve:ssm:name}}` with another value, wherever it occurs. Remove such
    texts from the declaration.
    """

    code = "CR-DEP-001"
    title = "template not possible"


class PushError(DeployError):
    """An image was not pushed: `check` found errors in it, the repository is missing, or the engine failed."""

    code = "CR-DEP-002"
    title = "image not pushed"


class PolicyError(DeployError):
    """A file is not an IAM policy that can be checked.

    It must be a JSON object with a list of statements, each with an effect, actions and resources.
    """

    code = "CR-DEP-003"
    title = "policy not usable"


class AwsReadError(DeployError):
    """AWS does not show a job: it does not exist, the credentials are missing, or they do not allow it."""

    code = "CR-DEP-004"
    title = "not shown by AWS"
