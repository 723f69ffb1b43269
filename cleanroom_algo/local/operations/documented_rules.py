"""Documented rules for which the model has no error: for each one, a switch selects an error or a warning.

A warning is written to the log of the server, or to the terminal of the command.
"""

from __future__ import annotations

import logging
from typing import Final

from cleanroom_algo.errors import AccessDeniedError, ConflictError, Problem, RequestError
from cleanroom_algo.local.operations.registry import Call
from cleanroom_algo.local.resources.arns import MEMBERSHIP, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.validation import invalid

DISTRIBUTED: Final = ("ml.m5.2xlarge", "ml.m5.4xlarge", "ml.m5.12xlarge", "ml.g5.12xlarge", "ml.g5.24xlarge")
"""Instance types of distributed training (Clean Rooms user guide, "Use distributed training")."""

OTHER_ASSOCIATION: Final = "is a channel for another configured model algorithm association"
log = logging.getLogger("cleanroom_algo.local")


def model_name_is_new(call: Call, collaboration: str) -> None:
    """A trained model's name is "unique in the collaboration" (Clean Rooms user guide, "Creating a trained model").

    Raises:
        ConflictError: CR-REQ-002, if the switch unique_model_names says so.
    """
    store, switch = call.store, call.settings.switches.unique_model_names
    if switch == "warn" and store.count(MEMBERSHIP, collaboration=collaboration) == 1:
        return  # repeated trials have the name of their algorithm
    if store.count(TRAINED_MODEL, collaboration=collaboration, name=call.params["name"]):
        error = ConflictError(
            "the collaboration already has a trained model with this name",
            expected="a unique name",
            fix="choose another name",
        )
        _hold(call, switch, error)


def instances_train_together(call: Call) -> None:
    """Distributed training supports only some instance types (Clean Rooms user guide, "Use distributed training").

    Raises:
        InvalidRequestError: CR-REQ-001, if the switch distributed_instance_types says so.
    """
    resources = call.params["resourceConfig"]
    if resources.get("instanceCount", 1) > 1 and resources["instanceType"] not in DISTRIBUTED:
        reason = f"must be one of {', '.join(DISTRIBUTED)} if there are several instances"
        problem = Problem("resourceConfig.instanceType", reason)
        _hold(call, call.settings.switches.distributed_instance_types, invalid(call.operation, [problem]))


def role_is_own(call: Call, arn: str) -> None:
    """A role of another account is denied (botocore's model, InputChannel.roleArn).

    Raises:
        AccessDeniedError: CR-REQ-004, if the switch foreign_roles says so.
    """
    if arn.split(":")[4] != call.account:
        error = AccessDeniedError(
            f"the role belongs to account {arn.split(':')[4]}, but the caller is account {call.account}",
            expected="roleArn of a role of the calling account",
            fix="pass a role of your own account",
        )
        _hold(call, call.settings.switches.foreign_roles, error)


def channel_is_for(call: Call, channel: Record, association: Record) -> None:
    """Inference can use an association only if the rules of the channel's tables allow it.

    (Clean Rooms user guide, "IAM behaviors for AWS Clean Rooms ML".) The query of a channel was checked with these
    rules for the association for which the channel was created.

    Raises:
        InvalidRequestError: CR-REQ-001, if the switch inference_association says so.
    """
    if association.key not in channel.document["configuredModelAlgorithmAssociations"]:
        problem = Problem("dataSource.mlInputChannelArn", OTHER_ASSOCIATION)
        _hold(call, call.settings.switches.inference_association, invalid(call.operation, [problem]))


def _hold(call: Call, switch: str, error: RequestError) -> None:
    if switch == "enforce":
        raise error
    words = "; ".join((error.what, *map(str, error.problems)))
    log.warning("according to its documentation, AWS refuses this %s: %s", call.operation, words)
