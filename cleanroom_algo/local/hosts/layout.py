"""The tree below /opt/ml as the platform creates it, byte for byte where real jobs have been recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.contract.environment import JOB_ARN_VARIABLE, JOB_NAME_VARIABLE
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.contract.sizes import DISK_FULL, GB
from cleanroom_algo.contract.tree import Tree
from cleanroom_algo.errors import CheckpointsUnreadableError
from cleanroom_algo.local.hosts.container_tree import ContainerTree
from cleanroom_algo.local.plans.training_plan import HostPlan, TrainingPlan

GROUP_NAME = "homogeneousCluster"  # of every ordinary job that was recorded
NETWORK_INTERFACE = "eth0"  # of every real job that was recorded; the developer guide's sample says eth1


def lay_out(plan: TrainingPlan, host: HostPlan) -> ContainerTree:
    """Create a host's tree with its configuration files; the channels are delivered separately."""
    root = plan.run_directory / "hosts" / host.name / "ml"
    tree = ContainerTree(root, ("input/config", "input/data", "model", "output", "output/data", "checkpoints"))
    _write(tree.paths.hyperparameters, dict(plan.hyperparameters))
    _write(tree.paths.input_data_config, input_data_config(plan))
    _write(tree.paths.resource_config, resource_config(plan, host))
    if plan.checkpoints is not None:
        _copy(plan.checkpoints / host.name, tree.paths.checkpoints)
    return tree


def input_data_config(plan: TrainingPlan) -> dict[str, dict[str, str]]:
    """Return the content of inputdataconfig.json; an incremental channel comes complete and as files in every job."""
    # The developer guide: FastFile is "similar to File mode" and written as File here.
    mode = InputMode.PIPE if plan.input_mode is InputMode.PIPE else InputMode.FILE
    channels = {channel.name: (mode, channel.distribution) for channel in plan.channels}
    if plan.base_model is not None:
        channels[plan.base_model.channel] = InputMode.FILE, Distribution.FULLY_REPLICATED
    return {
        name: {"TrainingInputMode": mode, "S3DistributionType": distribution, "RecordWrapperType": "None"}
        for name, (mode, distribution) in channels.items()
    }


def resource_config(plan: TrainingPlan, host: HostPlan) -> dict[str, object]:
    """Return the content of resourceconfig.json; `topology` exists since 2025, and is a list on some instances."""
    names = sorted(plan.host_names)
    group = {"instance_group_name": GROUP_NAME, "instance_type": plan.instance_type, "hosts": names}
    return {
        "current_host": host.name,
        "current_instance_type": plan.instance_type,
        "current_group_name": GROUP_NAME,
        "hosts": names,
        "instance_groups": [group],
        "network_interface_name": NETWORK_INTERFACE,
        "topology": None,
    }


def container_variables(plan: TrainingPlan, seen: Paths) -> dict[str, str]:
    """Return the variables that the platform gives each container of a job.

    Args:
        plan: of the job.
        seen: its tree, as the container sees it.
    """
    variables = {JOB_NAME_VARIABLE: plan.job_name, JOB_ARN_VARIABLE: plan.job_arn}
    if plan.max_artifact_bytes is not None:
        # The platform does not tell the container its maximum size; an author would set the variable in the request.
        variables[variable("max_artifact_gb")] = f"{plan.max_artifact_bytes / GB:.9g}"
    if plan.file_format is not None:  # user guide, "Model authoring guidelines for the training container"
        variables |= {f"SM_CHANNEL_{each.name.upper()}": str(seen.channel(each.name)) for each in plan.channels}
        variables |= {"SM_MODEL_DIR": str(seen.model), "SM_OUTPUT_DIR": str(seen.output_data)}
        variables["FILE_FORMAT"] = plan.file_format
    return {**variables, **plan.environment}


def _copy(left: Path, target: Path) -> None:
    """Copy the files that a container of an earlier job left.

    Raises:
        CheckpointsUnreadableError: CR-JOB-308, they cannot be read, or contain links to other places.
    """
    try:
        with Tree(left) as tree:
            for entry in tree.walk():
                if entry.is_folder:
                    (target / entry.name).mkdir()
                else:
                    with tree.open(entry.name) as source, (target / entry.name).open("wb") as copy:
                        shutil.copyfileobj(source, copy)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise CheckpointsUnreadableError(
            f"the checkpoints of {left.name} cannot be read: {error.filename} {error.strerror}",
            expected="checkpoints as a Trainer writes them",
            fix="train again without --resume",
        ) from error


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
