"""The options shared by `train` and `plan`: they build a create_trained_model request."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import (
    RoomChannel,
    channel_sources,
    environment_option,
    in_room,
    instance_type_option,
    named_channel,
    pairs,
    request_file,
    request_option,
)
from cleanroom_algo.cli.output import say
from cleanroom_algo.cli.project import NO_PROJECT, Project, project_of
from cleanroom_algo.contract.algorithm import is_spelled_as_path
from cleanroom_algo.errors import NoSuchRecordError, Problem, UsageError
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.listing import Source
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.room import Room
    from cleanroom_algo.local.setup.calls import JobCall

_REQUEST_OPTIONS = ("name", "hosts", "distribution", "input_mode", "instance_type", "max_runtime")
_QUICK_ONLY = (*_REQUEST_OPTIONS, "base_model")


@dataclass(frozen=True)
class TrainingWords:
    """What the command line says about a training job.

    Attributes:
        algorithm: a Python file, a folder or an image.
        request: the literal parameters of create_trained_model, or None without --request.
        channels: the data of each channel.
        base_model: the name of the version to start from.
        entrypoint: of the algorithm, instead of the image's.
        arguments: of the algorithm, instead of the word `train`.
        objects: into how many each channel with one file is to be cut; None does not cut it.
        notes: whether notes about the job are printed.
        options: the other options of `request_for`.
    """

    algorithm: str | None
    request: dict[str, Any] | None
    channels: dict[str, Source | RoomChannel]
    base_model: str | None
    entrypoint: list[str]
    arguments: list[str]
    objects: int | None
    notes: bool
    options: dict[str, Any]


def training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a training."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def training_words(context: click.Context) -> TrainingWords:
    """Return the values of the options; without --request, the project file supplies missing ones.

    Raises:
        UsageError: options contradict each other, or it is not clear what to train.
        InputFileError: a file or folder does not exist, or the project file cannot be used.
    """
    values = context.params
    if values["algorithm"] and values["algorithm_option"]:
        raise _wrong("the algorithm is given twice", context.command_path)
    project = project_of(Path.cwd()) if values["request"] is None else NO_PROJECT
    values = {**values, **_of_project(context, project)}
    algorithm = values["algorithm"] or values["algorithm_option"] or project.algorithm
    given = pairs(_channels(values["channel"]), "--channel")
    channels = channel_sources({**project.channels, **given})
    _check_words(context, algorithm, channels)
    if project.path is not None and not values["as_json"]:
        say(f"using [tool.cleanroom-algo] of {project.path}")
    return TrainingWords(
        algorithm=algorithm,
        request=None if values["request"] is None else request_file(values["request"]),
        channels=channels,
        base_model=values["base_model"],
        entrypoint=_words(values["entrypoint"], "--entrypoint"),
        arguments=_words(values["arguments"], "--arguments"),
        objects=values["objects"],
        notes=not values["as_json"],
        options={
            **{name: values[name] for name in _REQUEST_OPTIONS},
            "hyperparameters": project.hyperparameters | pairs(values["hyperparameter"], "--hyperparameter"),
            "environment": project.environment | pairs(values["environment"], "--environment"),
        },
    )


def _check_words(context: click.Context, algorithm: str | None, channels: Mapping[str, Source | RoomChannel]) -> None:
    values, command = context.params, context.command_path
    declared = any(isinstance(each, RoomChannel) for each in channels.values())
    if values["request"] is not None:
        given = [name for name in _QUICK_ONLY if _was_given(context, name)]
        given += [name for name in ("hyperparameter", "environment") if values[name]]
        if given:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise _wrong(f"{named} cannot be combined with --request", command)
        if declared:
            raise _wrong("--channel room:NAME cannot be combined with --request", command)
        if algorithm is None and (values["entrypoint"] or values["arguments"]):
            raise _wrong("--entrypoint and --arguments are those of an algorithm: --algorithm is missing", command)
    elif not channels or (algorithm is None and not declared):
        missing = "an algorithm" if algorithm is None else "a channel"
        raise _wrong(f"{missing} to train with is missing", command)


def _of_project(context: click.Context, project: Project) -> dict[str, Any]:
    """Return the values of options that the project file has and the command line does not.

    Raises:
        InputFileError: CR-CLI-003, a value is not valid for its option.
    """
    found: dict[str, Any] = {}
    for option in context.command.params:
        name = option.name or ""
        key = name.replace("_", "-")
        if key in project.options and not _was_given(context, name):
            try:
                found[name] = option.type_cast_value(context, project.options[key])
            except click.BadParameter as error:
                raise project.unusable([Problem(key, error.message.rstrip("."))]) from error
    return found


def _channels(words: Sequence[str]) -> list[str]:
    """Return NAME=PATH words; a single path, or a channel of the room, is the channel `train`."""
    return [named_channel(word, "train") for word in words] if len(words) == 1 else list(words)


def training_call(room: Room, words: TrainingWords) -> JobCall:
    """Return the call for the command line.

    Raises:
        NoSuchRecordError: CR-CLI-007, there is no such base model.
        And the errors of `prepare_binding` and `cut_source`.
    """
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.setup import calls
    from cleanroom_algo.local.setup.quick_requests import Configured

    configured = Configured(entrypoint=words.entrypoint, arguments=words.arguments)
    channels = in_room(room, words.channels)
    if words.objects is not None:
        from cleanroom_algo.local.setup.cutting import cut_source

        channels = {
            name: each if isinstance(each, Record) else cut_source(room.workspace, name, each, words.objects)
            for name, each in channels.items()
        }
    if words.request is not None:
        files = {name: each for name, each in channels.items() if not isinstance(each, Record)}
        return calls.literal_call(room.caller, calls.TRAIN, words.request, words.algorithm, files, configured)
    base = None if words.base_model is None else _base_model(room, words.base_model)
    return calls.training_call(
        room.caller, words.algorithm, channels, configured=configured, base_model=base, **words.options
    )


def _base_model(room: Room, words: str) -> Record:
    """Return the model of the room with a name; for a path, say how the files of a model are passed.

    Raises:
        NoSuchRecordError: CR-CLI-007.
    """
    try:
        return records.find(room.store, words, (records.MODEL,))
    except NoSuchRecordError as error:
        if not (is_spelled_as_path(words) or words.endswith((".gz", ".safetensors")) or Path(words).exists()):
            raise
        raise NoSuchRecordError(
            error.what,
            expected="the name of a model of the room; the files of a model are a channel",
            fix="put it into an empty folder, an archive as model.tar.gz, and pass --channel base=FOLDER instead of "
            "--base-model",
        ) from error


def say_few_objects(room: Room, job: Record) -> None:
    """Note channels of a training with fewer objects than hosts share: a query of the service would write several."""
    hosts = job.document["resourceConfig"].get("instanceCount", 1)
    for channel in job.document["dataChannels"]:
        record = room.store.get(records.CHANNEL, channel["mlInputChannelArn"])
        sharded = channel.get("s3DataDistributionType") == "ShardedByS3Key"
        if record is not None and record.document.get("numberOfFiles") == 1 and (hosts > 1 or sharded):
            alone = "; with ShardedByS3Key one host gets all of it" if sharded and hosts > 1 else ""
            what = f"channel {channel['channelName']} is one object, and the service writes several{alone}"
            say(f"note: {what}; --objects {max(4, hosts)} divides it")


def _words(text: str | None, option: str) -> list[str]:
    try:
        return shlex.split(text or "")
    except ValueError as error:
        raise UsageError(
            f"{option} cannot be divided into words: {error}",
            expected="words in shell syntax, in one pair of quotes",
            fix=f"write for example {option} 'python train.py'",
        ) from error


def refuse_others(context: click.Context, option: str) -> None:
    """Refuse options that describe a training, because `option` already describes all of it.

    Raises:
        UsageError: CR-CLI-001, there is such an option.
    """
    algorithm = ("algorithm", "algorithm_option", "entrypoint", "arguments", "objects")
    others = (*algorithm, "request", "channel", *_QUICK_ONLY, "hyperparameter", "environment")
    named = [f"--{name.replace('_', '-')}" for name in others if _was_given(context, name)]
    if named:
        what = f"{', '.join(named)} would change what --{option} continues"
        raise UsageError(what, expected=f"{context.command_path} --{option} NAME", fix="omit the others")


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _wrong(what: str, command: str) -> UsageError:
    return UsageError(
        what,
        expected=f"{command} ALGORITHM --channel NAME=PATH [OPTIONS], or {command} --request FILE [--algorithm PATH]"
        " [--channel NAME=PATH]",
        fix=f"{command} --help",
    )


_OPTIONS = (
    click.argument("algorithm", required=False),
    request_option,
    click.option(
        "--algorithm",
        "algorithm_option",
        metavar="PATH",
        help="With --request: the Python file, folder or image of the association's algorithm.",
    ),
    click.option(
        "--channel",
        multiple=True,
        metavar="NAME=PATH",
        help="Bind a channel to a folder, a file or an s3:// URI, or with NAME=room:CHANNEL to a declared channel; once"
        " per channel. A PATH alone is the channel train.",
    ),
    click.option("--name", help="Name of the trained model. Defaults to the algorithm's name."),
    click.option("--hosts", type=click.IntRange(1, 5), default=1, show_default=True, help="Number of hosts."),
    click.option(
        "--distribution",
        type=click.Choice(["FullyReplicated", "ShardedByS3Key"]),
        default="FullyReplicated",
        show_default=True,
        help="Whether each host gets all objects of a channel or a share of them.",
    ),
    click.option(
        "--objects",
        type=click.IntRange(2, 10_000),
        help="Divide each channel that has a single file into this many objects.",
    ),
    click.option(
        "--input-mode",
        type=click.Choice(["File", "FastFile", "Pipe"]),
        default="File",
        show_default=True,
        help="How channel data is delivered to the container.",
    ),
    instance_type_option,
    click.option(
        "--hyperparameter", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; can be given several times."
    ),
    environment_option,
    click.option("--base-model", metavar="NAME[:VERSION]", help="Train a new version from this one."),
    click.option("--entrypoint", metavar="WORDS", help="Program that trains, instead of the image's entrypoint."),
    click.option("--arguments", metavar="WORDS", help='Arguments of the program, instead of the word "train".'),
    click.option("--max-runtime", type=click.IntRange(1, 2_419_200), help="Seconds after which the job is stopped."),
)
