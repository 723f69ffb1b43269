"""One trained model on one screen: its origin, its data, its files and its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from cleanroom_algo.cli.output import age
from cleanroom_algo.cli.rooms import resuming_command
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.contract.sizes import GB, format_bytes
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ACTIVE

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.results import TrainedModel
    from cleanroom_algo.local.room import Room

_ENDED: Final = {ACTIVE: "green", "CREATE_FAILED": "red", "INACTIVE": "yellow"}
_MANY: Final = 12  # of longer lists of versions or files, the rest is only counted


def show_model(room: Room, record: Record) -> None:
    """Write what is known of a model to stdout. Only lines with a path or an ARN are longer than 60 columns."""
    from cleanroom_algo.local.failures import error_of
    from cleanroom_algo.local.results import TrainedModel
    from cleanroom_algo.local.summaries.runs import short_name

    model = TrainedModel(record, room.workspace)
    screen = _Screen(room, model)
    click.echo(f"{_bold(short_name(record))}  {screen.status()}")
    if records.reason(record):
        click.echo(f"\n{visible(str(error_of(record, room.workspace)))}")
        if (command := resuming_command(room.workspace, record)) is not None:
            click.echo(f"  resume    {command}")
    for title, lines in screen.sections():
        if lines:
            click.echo("\n".join(["", _bold(title), *(f"  {visible(line)}" for line in lines)]))


@dataclass(frozen=True)
class _Screen:
    room: Room
    model: TrainedModel

    @property
    def record(self) -> Record:
        return self.model.record

    def status(self) -> str:
        record = self.record
        text = click.style(record.status, fg=_ENDED.get(record.status))
        ended = f", took {age(record.updated - record.created)}" if record.status in _ENDED else ""
        return f"{text}  {age(time.time() - record.created)} ago{ended}"

    def sections(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield titles with their lines; titles without lines are left out."""
        given = self.record.document.get("hyperparameters", {})
        in_effect = {name: value for name, value in self.model.manifest.get("hyperparameters", {}).items() if value}
        defaults = {name: f"{value}  (default)" for name, value in in_effect.items() if name not in given}
        yield "Lineage", [*self._lineage()]
        yield "Channels", [*self._channels()]
        yield "Hyperparameters", _pairs({**given, **defaults})
        yield "Metrics", _pairs({name: f"{value:.6g}" for name, value in self.model.metrics.items()})
        yield self._files_title(), [*self._files()]
        yield "Job", [*self._job()]
        yield "ARN", [self.record.key]

    def _lineage(self) -> Iterator[str]:
        from cleanroom_algo.local.summaries.runs import short_name

        store = self.room.store
        if (base := records.base_of(store, self.record)) is not None:
            names = [short_name(base)]
            while (base := records.base_of(store, base)) is not None:
                names.append(short_name(base))
            yield f"trained from  {', from '.join(names)}"
        versions = [each for each in store.find(records.MODEL, key=self.record.key) if each != self.record]
        for each in versions[:_MANY]:
            loss = each.private.get("loss")
            shown = [short_name(each), each.status, f"{age(time.time() - each.created)} ago"]
            yield "version       " + "  ".join([*shown, *([] if loss is None else [f"loss {loss:.5g}"])])
        if len(versions) > _MANY:
            yield f"              and {len(versions) - _MANY} more"

    def _channels(self) -> Iterator[str]:
        for channel in self.record.document.get("dataChannels", ()):
            record = self.room.store.get(records.CHANNEL, channel["mlInputChannelArn"])
            distribution = channel.get("s3DataDistributionType", "")
            if record is None:
                yield f"{channel['channelName']}  {distribution}  the channel no longer exists"
                continue
            if record.created > self.record.created:
                yield f"{channel['channelName']}  {distribution}  declared again since the training"
                continue
            shown = record.document
            rows = self.model.rows_of(record)
            facts = [] if rows is None else [f"{rows:,} rows"]
            facts += [_count(int(shown["numberOfFiles"]), "object")] if "numberOfFiles" in shown else []
            facts += [format_bytes(round(shown["sizeInGb"] * GB))] if "sizeInGb" in shown else []
            yield "  ".join([channel["channelName"], *facts, distribution])
            yield f"    {record.private.get('location') or f'the query of the ML input channel {record.name}'}"

    def _files_title(self) -> str:
        private = self.record.private
        if "raw_bytes" not in private:
            return "Files"
        cap = private.get("max_artifact_bytes")
        share = f"{private['raw_bytes'] / cap:.1%} of the cap of {format_bytes(cap)}" if cap else "no cap"
        return f"Files  {format_bytes(private['raw_bytes'])}, packed {format_bytes(private['packed_bytes'])}; {share}"

    def _files(self) -> Iterator[str]:
        if not self.model.archive.exists():
            return
        listed = self.model.sizes
        width = max((len(format_bytes(size)) for size in listed.values()), default=0)
        for name, size in list(listed.items())[:_MANY]:
            yield f"{format_bytes(size):>{width}}  {name}"
        if len(listed) > _MANY:
            yield f"and {len(listed) - _MANY} more"
        yield str(self.model.archive)

    def _job(self) -> Iterator[str]:
        document = self.record.document
        resources: dict[str, Any] = document["resourceConfig"]
        hosts, volume = resources.get("instanceCount", 1), resources["volumeSizeInGB"]
        mode = document.get("trainingInputMode", "File")
        yield f"{hosts} x {resources['instanceType']}, {volume} GB each, {mode} mode"
        trained = self.model.manifest
        if trained.get("rows"):
            yield f"{trained['rows']:,} rows in {trained['steps']:,} steps, those of base models included"
        association = self.room.store.get(records.ASSOCIATION, document["configuredModelAlgorithmAssociationArn"])
        if association is not None:
            algorithm = self.room.store.get(records.ALGORITHM, association.parent)
            place = None if algorithm is None else algorithm.private.get("location")
            yield f"algorithm {place or association.name}"
        if "resumedFrom" in document:
            yield f"resumed from {document['resumedFrom']}"


def _pairs(values: dict[str, str]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{name:<{width}}  {value}" for name, value in values.items()]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _bold(text: str) -> str:
    return click.style(visible(text), bold=True)
