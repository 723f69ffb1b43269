"""One pipe for all ranks of a host: the first rank reads it and sends whole tables to the others.

A pipe has one reader, because each of two readers would get some of its bytes. The first local rank parses the stream
in a thread and deals the rows out in rounds. A round is cut into one slice for each rank, so that the ranks' shares of
an epoch differ by at most one row, and which rank gets which row depends on the layout alone. Slices travel as Arrow
IPC streams over Unix sockets. The slowest rank slows down the reader, and with it the writer of the pipe.

ShardedByS3Key: the host's ranks share what its pipe delivers. FullyReplicated: every host's pipe delivers everything,
in the same order, so all ranks of all hosts share it, and each host skips the slices of the others.

Memory on the first rank: what `read_pipe` states, one round (`rows` rows for each rank that shares), and two slices for
each local rank.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import queue
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from cleanroom_algo.channels.modes.pipe import Pipe, read_pipe
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.plan import readers_of
from cleanroom_algo.data.tables import deal, rebatched
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import PipeReaderLostError

SLICE_ROWS: Final = 8192
"""The fewest rows of a slice: with fewer, sending costs a noticeable part of the parsing (`benchmarks pipes`)."""
_SLICES_WAITING: Final = 2
_LOOK_SECONDS: Final = 0.05
_LENGTH: Final = struct.Struct("<q")
_CREDENTIALS: Final = struct.Struct("3i")  # of SO_PEERCRED: process, user, group
_END: Final = -1  # in place of a length: the epoch has ended
_LEAVING: Final = b"\0"  # sent by a rank that wants no more rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stream:
    """What is read: one epoch of a channel in Pipe mode.

    Attributes:
        channel: in Pipe mode.
        schema: the declared columns.
        epoch: 0, 1, ...; in this order, each at most once.
        columns: the columns wanted; all if None.
        batch_rows: the most rows of a table, at least 1.
        timeout: seconds that the pipe may deliver nothing, and that ranks may take to meet.
    """

    channel: Channel
    schema: Schema
    epoch: int
    columns: Sequence[str] | None = None
    batch_rows: int = 65_536
    timeout: float = 600.0

    def open(self) -> Pipe:
        """Open the pipe."""
        return Pipe(self.channel, self.epoch, timeout=self.timeout)

    def tables(self, pipe: Pipe) -> Generator[pl.DataFrame]:
        """Yield the rows of the opened pipe."""
        return read_pipe(pipe, self.schema, batch_rows=self.batch_rows, columns=self.columns)


def read_share(stream: Stream, world: World, *, rows: int = SLICE_ROWS) -> Generator[pl.DataFrame, None, int | None]:
    """Yield the rows of an epoch that this rank gets; all ranks of the host must call it.

    Args:
        stream: the same on all ranks.
        world: this rank's place.
        rows: rows of a slice, at least 1.

    Returns:
        The number of rows that the pipe has delivered to all ranks; None on a rank that did not read it.

    Raises:
        PipeReaderLostError: CR-DAT-003, another rank of this host ended during the epoch. On the first rank of each
            host, also what `read_pipe` raises.
    """
    if readers_of(world, stream.channel.distribution).count == 1:
        delivered = 0
        with stream.open() as pipe:
            for table in stream.tables(pipe):
                delivered += table.height
                yield table
        return delivered
    if world.local_rank:
        yield from _received(stream, world)
        return None
    reader = _Reader(stream, world, rows)
    try:
        yield from reader.own()
    finally:
        reader.close()
    return reader.delivered


class _Reader:
    """Reads the pipe in a thread, for this rank and the other ranks of its host.

    Attributes:
        delivered: the rows that the pipe has delivered so far.
    """

    def __init__(self, stream: Stream, world: World, rows: int) -> None:
        self._stream = stream
        self._rows = rows
        self.delivered = 0
        shares = [
            readers_of(replace(world, local_rank=local), stream.channel.distribution)
            for local in range(world.ranks_per_host)
        ]
        self._count = shares[0].count
        self._local_of = {share.index: local for local, share in enumerate(shares)}
        self._own: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(_SLICES_WAITING)
        self._closed = threading.Event()
        self._others: dict[int, socket.socket] = {}
        self._pipe = stream.open()
        try:
            self._others = _accept(stream, world)
        except BaseException:
            self._pipe.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"pipe-{stream.channel.name}", daemon=True)
        self._thread.start()

    def own(self) -> Iterator[pl.DataFrame]:
        """Yield this rank's slices."""
        while (item := self._own.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop reading; if the epoch has not ended, the writer gets EPIPE and the other ranks get an error."""
        self._closed.set()
        self._pipe.cancel()
        for other in self._others.values():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for other in self._others.values():
            other.close()

    def _run(self) -> None:
        outcome: BaseException | None = None
        try:
            with self._pipe as pipe, contextlib.closing(self._stream.tables(pipe)) as tables:
                for table in rebatched(tables, self._count * self._rows):
                    self.delivered += table.height
                    for position, part in enumerate(deal(table, self._count)):
                        self._hand_over(position, part)
            for other in self._others.values():
                other.sendall(_LENGTH.pack(_END))
        except BaseException as error:  # of any class: this rank's main thread must see it
            outcome = error
        for other in self._others.values():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_WR)
        self._put(outcome)

    def _hand_over(self, position: int, part: pl.DataFrame) -> None:
        local = self._local_of.get(position)
        if local is None or not part.height:
            return
        if local == 0:
            self._put(part)
        elif local in self._others:
            try:
                _send(self._others[local], part)
            except OSError as error:
                if not _has_left(self._others[local]):
                    raise _lost(f"rank {local} of this host ended before its epoch did") from error
                self._others.pop(local).close()

    def _put(self, item: pl.DataFrame | BaseException | None) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._own.put(item, timeout=_LOOK_SECONDS)
                return


def _received(stream: Stream, world: World) -> Iterator[pl.DataFrame]:
    with _connect(stream, world) as connection:
        ended = False
        try:
            while (length := _LENGTH.unpack(_receive(connection, _LENGTH.size))[0]) != _END:
                yield pl.read_ipc_stream(_receive(connection, length))
            ended = True
        finally:
            if not ended:
                with contextlib.suppress(OSError):
                    connection.sendall(_LEAVING)


def _accept(stream: Stream, world: World) -> dict[int, socket.socket]:
    """Return a connection to each other rank of this host, by its local rank."""
    if world.ranks_per_host == 1:
        return {}
    found: dict[int, socket.socket] = {}
    with _listening(_meeting_place(stream), world.ranks_per_host) as listener:
        listener.settimeout(stream.timeout)
        try:
            while len(found) < world.ranks_per_host - 1:
                connection, _ = listener.accept()
                if not _is_ours(connection):
                    connection.close()
                    continue
                connection.settimeout(None)
                found[_receive(connection, 1)[0]] = connection
        except BaseException as error:
            for connection in found.values():
                connection.close()
            if isinstance(error, TimeoutError):
                missing = sorted(set(range(1, world.ranks_per_host)) - found.keys())
                what = f"rank(s) {', '.join(map(str, missing))} of this host did not come for {stream.channel.name!r}"
                raise _lost(f"{what} within {stream.timeout:g} s") from None
            raise
    return found


@contextlib.contextmanager
def _listening(address: str, waiting: int) -> Iterator[socket.socket]:
    """Yield a socket to which other ranks can connect."""
    file = None if address.startswith("\0") else Path(address)
    if file:
        file.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
            if file:
                file.chmod(0o600)
            listener.listen(waiting)  # from now on, connections are accepted
            yield listener
        finally:
            if file:
                file.unlink(missing_ok=True)


def _connect(stream: Stream, world: World) -> socket.socket:
    address, deadline = _meeting_place(stream), time.monotonic() + stream.timeout
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
            if _is_ours(connection):
                connection.sendall(bytes([world.local_rank]))
                return connection
        except OSError:  # the first rank does not listen yet
            pass
        connection.close()
        if time.monotonic() > deadline:
            what = f"the first rank of this host did not open the pipe of {stream.channel.name!r}"
            raise _lost(f"{what} within {stream.timeout:g} s")
        time.sleep(_LOOK_SECONDS)  # there is nothing to wait for yet


def _meeting_place(stream: Stream) -> str:
    """Return the address at which the ranks of this host meet: children of one launcher, one epoch of one channel.

    On Linux it is a name without a file (unix(7), abstract sockets), so that a killed rank leaves no file.
    """
    job = [str(os.getppid()), os.environ.get("MASTER_PORT", ""), str(stream.channel.fifo(stream.epoch))]
    name = "cleanroom-" + hashlib.sha256("\n".join(job).encode()).hexdigest()[:24]
    return f"\0{name}" if sys.platform == "linux" else str(Path(tempfile.gettempdir()) / f"{name}.sock")


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end belongs to this user: every user of the machine can connect to an abstract socket."""
    if sys.platform != "linux":
        return True  # the permissions of the file make sure of it
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(found)
    return bool(user == os.getuid())


def _send(connection: socket.socket, part: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    part.write_ipc_stream(buffer)
    connection.sendall(_LENGTH.pack(buffer.tell()))
    connection.sendall(buffer.getbuffer())


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:  # one call, unless a signal interrupts it
        try:
            piece = connection.recv(length - len(data), socket.MSG_WAITALL)
        except OSError:
            piece = b""
        if not piece:
            raise _lost("the rank of this host that reads the pipe ended before the epoch did")
        data += piece
    return data


def _has_left(connection: socket.socket) -> bool:
    """Whether a rank said that it wants no more rows; else it has died."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == _LEAVING
    except OSError:
        return False


def _lost(what: str) -> PipeReaderLostError:
    return PipeReaderLostError(
        what,
        expected="ranks of one host that read each epoch together, to its end",
        fix="find out why that rank ended: see its error, or the log",
    )
