"""Prefetching: one thread reads blocks, a few threads decode them, and the results come in order.

polars releases the interpreter lock while it parses, so reading, parsing and training overlap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Final, Generic, TypeVar

import polars as pl

T = TypeVar("T")
U = TypeVar("U")

MAX_DECODERS: Final = 8
"""More blocks at once would only cost memory: polars also uses several threads within a block."""
_WAITING_BLOCKS: Final = 2
"""Blocks that are read before a decoder is free, so that no decoder waits for the reader."""


def decoders() -> int:
    """Return how many blocks are decoded at the same time.

    Two for each thread of polars: while one block is in a part that polars does with one thread, the other threads work
    on another block (with two cores, a tenth faster than one for each; measured).
    """
    return max(2, min(MAX_DECODERS, 2 * pl.thread_pool_size()))


def decode_prefetched(
    blocks: Iterator[T], decode: Callable[[T], U], cancel: Callable[[], None] | None = None
) -> Generator[U]:
    """Yield `decode(block)` for each block, in order, while later blocks are read and decoded.

    At most d + 3 blocks are held, read or decoded, with d = `decoders()`. Closing the iterator early stops the reading.
    If reading never waits (no `cancel`), a single block is decoded without any thread.

    Args:
        blocks: read by a separate thread.
        decode: called by several threads at the same time.
        cancel: makes a `blocks` that waits for its source raise or end; called when the iterator is closed early.
    """
    first = list(islice(blocks, 2)) if cancel is None else []
    if len(first) < 2 and cancel is None:
        yield from map(decode, first)
        return
    yield from _Prefetch(chain(first, blocks), decode, cancel).results()


class _Prefetch(Generic[T, U]):
    def __init__(self, blocks: Iterator[T], decode: Callable[[T], U], cancel: Callable[[], None] | None) -> None:
        self._blocks = blocks
        self._decode = decode
        self._cancel = cancel
        self._stopped = threading.Event()
        self._slots = threading.Semaphore(decoders() + _WAITING_BLOCKS)
        self._futures: queue.SimpleQueue[Future[U] | BaseException | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(decoders(), thread_name_prefix="decode")
        self._reader = threading.Thread(target=self._read, name="prefetch", daemon=True)

    def results(self) -> Generator[U]:
        self._reader.start()
        try:
            while (item := self._futures.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                result = item.result()
                self._slots.release()
                yield result
        finally:
            self._stopped.set()
            self._slots.release()
            if self._cancel is not None and self._reader.is_alive():
                self._cancel()
            self._reader.join()
            self._pool.shutdown(cancel_futures=True)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for block in self._blocks:
                self._slots.acquire()
                if self._stopped.is_set():
                    break
                self._futures.put(self._pool.submit(self._decode, block))
        except BaseException as error:  # the consumer raises it
            end = error
        self._futures.put(end)
