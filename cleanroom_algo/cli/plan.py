"""`plan`: checks a training job and shows what it would do, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json, fields, say, table
from cleanroom_algo.cli.quick import TrainingWords, say_few_objects, training_call, training_options, training_words
from cleanroom_algo.cli.rooms import open_room, undone
from cleanroom_algo.contract.sizes import format_bytes

if TYPE_CHECKING:
    from cleanroom_algo.local.plans.training_plan import TrainingPlan
    from cleanroom_algo.local.room import Room


@click.command()
@training_options
@click.option("--print-request", is_flag=True, help="Print the create_trained_model request, for --request.")
@json_option
@home_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, home: Path | None, print_request: bool, **_: Any) -> None:
    r"""Show the hosts, objects and limits of a training job without starting it. The options are those of `train`.

    \b
    Examples:
      cleanroom-algo plan my_algorithm.py --channel train=data/ --hosts 2
      cleanroom-algo plan my_algorithm.py --channel train=data/ --print-request > request.json
    """
    words = training_words(context)
    with open_room(home) as room:
        request, plan = planned(room, words)
    _check(plan)
    if print_request:
        emit_json(request)
    elif as_json:
        emit_json(_document(plan))
    else:
        _show(plan)


def _check(plan: TrainingPlan) -> None:
    """Raise an error that would end the job before its first step; print one that may."""
    from cleanroom_algo.local.images.preflight import find_fault

    fault = find_fault(plan)
    if fault is None:
        return
    if fault.sure:
        raise fault.error
    say(f"if `fit` reads the channel by the schema, it fails:\n{fault.error}")


def planned(room: Room, words: TrainingWords) -> tuple[dict[str, Any], TrainingPlan]:
    """Return the request and the plan of the job that it would start; the room is not changed."""
    from cleanroom_algo.local.client import start
    from cleanroom_algo.local.planning.training import training_plan

    with undone(room):
        call = training_call(room, words)
        record = start(room, call)
        if words.notes:
            say_few_objects(room, record)
        plan = training_plan(room.workspace, record, room.workspace.files.run(record))
    return call.params, plan


def _document(plan: TrainingPlan) -> dict[str, Any]:
    return {
        "jobName": plan.job_name,
        "algorithm": plan.source.image_uri,
        "inputMode": plan.input_mode,
        "hosts": [
            {
                "name": host.name,
                "channels": {
                    name: {"objects": [each.key for each in objects], "bytes": sum(each.size for each in objects)}
                    for name, objects in host.objects.items()
                },
            }
            for host in plan.hosts
        ],
        "distribution": {channel.name: channel.distribution for channel in plan.channels},
        "hyperparameters": dict(plan.hyperparameters),
        "environment": dict(plan.environment),
        "instanceType": plan.instance_type,
        "volumeInGB": plan.volume_gb,
        "maxRuntimeInSeconds": plan.max_runtime_seconds,
        "maxArtifactBytes": plan.max_artifact_bytes,
        "baseModel": str(plan.base_model.archive) if plan.base_model else None,
    }


def _show(plan: TrainingPlan) -> None:
    cap = plan.max_artifact_bytes
    fields(
        {
            "job": plan.job_name,
            "algorithm": plan.source.image_uri,
            "input mode": plan.input_mode,
            "hyperparameters": ", ".join(plan.hyperparameters) or None,  # only names: values may be secrets
            "base model": plan.base_model.archive if plan.base_model else None,
            "instances": f"{len(plan.hosts)} x {plan.instance_type}, {plan.volume_gb} GB each",
            "ends after": f"{plan.max_runtime_seconds} s at most",
            "cap": format_bytes(cap) if cap else "none",
        }
    )
    emit("")
    distribution = {channel.name: channel.distribution for channel in plan.channels}
    rows = [
        (host.name, name, distribution[name], len(objects), format_bytes(sum(each.size for each in objects)))
        for host in plan.hosts
        for name, objects in host.objects.items()
    ]
    table(("HOST", "CHANNEL", "DISTRIBUTION", "OBJECTS", "SIZE"), rows)
