"""Which parts of which objects a loader reads: applies the plan to the objects that this host sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from cleanroom_algo.channels.modes.file import count_rows, split_object
from cleanroom_algo.channels.objects import Object, list_objects
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.plan import Readers, readers_of, share_of
from cleanroom_algo.data.world import World


class Partition:
    """The objects of a channel with files, divided among its loaders; results are cached.

    Args:
        channel: in File or FastFile mode.
        schema: the declared columns.
    """

    def __init__(self, channel: Channel, schema: Schema) -> None:
        self._channel = channel
        self._schema = schema
        self._splits: dict[Readers, list[tuple[Object, Split]]] = {}

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """The objects, listed at the first use; raises the errors of `list_objects`."""
        return list_objects(self._channel)

    def of(self, loader: World) -> list[tuple[Object, Split]]:
        """Return what a loader reads, in the order of the objects; an object's splits have one size, for shuffling."""
        readers = readers_of(loader, self._channel.distribution)
        if readers not in self._splits:
            share = share_of([obj.size for obj in self.objects], readers)
            self._splits[readers] = [
                (self.objects[position], split)
                for position, own, count in share.runs()
                for split in split_object(self.objects[position], self._schema, count, own)
                if split.start < split.end
            ]
        return self._splits[readers]

    def rows(self, loader: World) -> int:
        """Return the rows that a loader reads, counted without parsing them (Parquet: from the footers)."""
        return sum(count_rows(obj, self._schema, split) for obj, split in self.of(loader))


def coalesce(share: Sequence[tuple[Object, Split]]) -> Iterator[tuple[Object, Split]]:
    """Yield the splits of a share, with adjacent ones merged, so that an object is opened once."""
    held: tuple[Object, Split] | None = None
    for obj, split in share:
        if held is not None and held[0] is obj and held[1].end == split.start:
            held = obj, replace(split, start=held[1].start)
            continue
        if held is not None:
            yield held
        held = obj, split
    if held is not None:
        yield held
