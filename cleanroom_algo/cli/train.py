"""`train`: a training job, from a literal request or from a few options; one way from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli import records
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, fields, next_commands, say
from cleanroom_algo.cli.quick import TrainingWords, refuse_others, training_options, training_words
from cleanroom_algo.cli.rooms import follow, model_result, open_room, outcome
from cleanroom_algo.cli.run import Terminated, report
from cleanroom_algo.contract.algorithm import algorithm_file
from cleanroom_algo.contract.sizes import format_bytes

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room
    from cleanroom_algo.local.setup.resuming import Resumed


@click.command()
@training_options
@click.option(
    "--resume",
    metavar="NAME[:VERSION]",
    help="Continue a job that was interrupted, cancelled or failed, after its last whole epoch.",
)
@click.option("--quiet", is_flag=True, help="Do not show what the containers write; it is in `logs` in any case.")
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context, /, as_json: bool, home: Path | None, quiet: bool, resume: str | None, **_: Any
) -> None:
    r"""Train ALGORITHM (a Python file, a folder with algorithm.py, or an image), or what a request file asks for.

    \b
    Examples:
      cleanroom-algo train my_algorithm.py --channel train=data/ --hosts 2
      cleanroom-algo train my_algorithm.py --channel train=data/ --hyperparameter epochs=5
      cleanroom-algo train my_algorithm.py --channel train=more/ --base-model my-algorithm
      cleanroom-algo train --request request.json --algorithm my_algorithm.py --channel train=data/
      cleanroom-algo train --resume my-algorithm
    """
    words = training_words(context) if resume is None else None
    if resume is not None:
        refuse_others(context, "resume")
    with open_room(home) as room:
        request, account, terms = _resumed(room, resume or "") if words is None else (*prepare(room, words), None)
        created = room.call("CreateTrainedModel", request, account, terms=terms)
        arn, version = created["trainedModelArn"], created.get("versionIdentifier")
        with _hint_at_resuming(request["name"]):
            record = follow(room, arn, version, title=request["name"], verbose=not quiet)
        again = f"{record.name}:{version[:8]}" if version else record.name
        if failure := outcome(record, f"cleanroom-algo logs {again}"):
            error, status = failure
            report(error, as_json, {"trainedModel": records.document(record)})
            if not as_json and _left_checkpoints(room, record):
                say(f"\n  resume    cleanroom-algo train --resume {again}")
            context.exit(status)
        result = model_result(room, record)
    if as_json:
        emit_json(result)
        return
    _show(result)
    algorithm = words.algorithm if words else None
    next_commands(
        f"cleanroom-algo show {again}",
        f"cleanroom-algo infer {again} --channel FOLDER",
        f"cleanroom-algo train {algorithm or 'ALGORITHM'} --channel NAME=FOLDER --base-model {again}",
    )


def _resumed(room: Room, name: str) -> Resumed:
    from cleanroom_algo.local.setup.resuming import resumed

    return resumed(room.workspace, records.find(room.store, name, (records.MODEL,)))


def _left_checkpoints(room: Room, record: Record) -> bool:
    from cleanroom_algo.local.planning.resuming import checkpoints_of

    return checkpoints_of(room.workspace, record) is not None


@contextmanager
def _hint_at_resuming(name: str) -> Iterator[None]:
    """Say how to continue a job that is interrupted."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        say(f"if an epoch was complete, continue with: cleanroom-algo train --resume {name}")
        raise


def prepare(room: Room, words: TrainingWords) -> tuple[dict[str, Any], str]:
    """Return the request of the command line and the account that calls, everything that it names being in the room.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, there is no algorithm at the path.
        InvalidRequestError: CR-REQ-001. BindingError: CR-ROM-003.
    """
    from cleanroom_algo.local.setup.binding import adopt
    from cleanroom_algo.local.setup.quick_requests import request_for

    algorithm = words.algorithm
    if algorithm is not None and _is_path(algorithm) and not Path(algorithm).exists():
        algorithm_file(algorithm)
    request = words.request
    if request is None:
        assert algorithm is not None
        base = None
        if words.base_model is not None:
            base = records.find(room.store, words.base_model, (records.MODEL,))
        request = request_for(
            room.workspace.settings.machine,
            algorithm,
            words.channels,
            name=words.name,
            hosts=words.hosts,
            distribution=words.distribution,
            input_mode=words.input_mode,
            instance_type=words.instance_type,
            hyperparameters=words.hyperparameters,
            environment=words.environment,
            base_model=base,
            max_runtime=words.max_runtime,
        )
    return request, adopt(room.caller, request, algorithm=algorithm, channels=words.channels)


def _is_path(algorithm: str) -> bool:
    """Whether a file or folder is meant: an image has no such name."""
    return algorithm.endswith((".py", "/")) or algorithm.startswith(("/", "./", "../"))


def _show(result: dict[str, Any]) -> None:
    cap = result.get("maxArtifactBytes")
    size = f"{format_bytes(result['rawBytes'])}, packed {format_bytes(result['packedBytes'])}"
    fields(
        {
            "model": result["name"],
            "version": result.get("versionIdentifier", "base"),
            "status": result["status"],
            **({"rows": result["rows"]} if result.get("rows") else {}),
            **({"steps": result["steps"]} if result.get("steps") else {}),
            **{name: f"{value:.6g}" for name, value in result.get("metrics", {}).items()},
            "size": f"{size}, cap {format_bytes(cap) if cap else 'none'}",
            "artifacts": result["artifacts"],
        }
    )
