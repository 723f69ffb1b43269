"""Records in an algorithm's own format in RecordIO: bytes that are in none of the formats of `read_object`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.channels.formats.recordio import RecordReader
from cleanroom_algo.channels.modes.pipe import PIPE_BYTES, Pipe
from cleanroom_algo.channels.objects import file_chunks, list_objects, readable
from cleanroom_algo.contract.channel import Channel


def read_records(channel: Channel, *, epoch: int = 0, timeout: float = 600.0) -> Iterator[NDArray[np.uint8]]:
    """Yield the records of a channel in RecordIO, many at a time, as arrays with the axes (record, byte).

    Consecutive records of one length are in one array, up to a block of 1 MiB in Pipe mode and 4 MiB otherwise; a new
    array begins where the length changes. For example, with records of 20 float32, `array.view(np.float32)` has the
    axes (record, value). An array is a view of bytes that are released afterwards: copy what you keep. Memory: the
    longest record and a block.

    One reader reads all objects of the host: records are not divided among ranks.

    Args:
        channel: in any input mode.
        epoch: of a pipe: 0, 1, ...
        timeout: seconds that a pipe may deliver nothing.

    Raises:
        CorruptObjectError: CR-CHN-005, no magic where a record should start, a record that ends early, or parts out of
            order. ObjectUnreadableError: CR-CHN-003. PipeTimeoutError: CR-CHN-007. PipeInUseError: CR-CHN-008.
    """
    if not channel.input_mode.has_files:
        with Pipe(channel, epoch, timeout=timeout) as pipe, contextlib.closing(pipe.chunks(PIPE_BYTES)) as chunks:
            yield from RecordReader(chunks, source=pipe.name).fixed()
        return
    for obj in list_objects(channel):
        with readable(obj), contextlib.closing(file_chunks(obj)) as chunks:
            yield from RecordReader(chunks, source=obj.name).fixed()
