"""Buffers that training changes: running statistics, counters, codebooks.

Each rank changes its own. After each optimizer step, floating-point buffers become the mean over the ranks that had
rows, weighted by their rows. So the published values and the next step do not depend on which rank had which rows. When
they are stored, counters become the largest value of all ranks. A buffer that no rank has changed is left unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World
from cleanroom_algo.training.torch.collectives import reduce_largest, reduce_sums


class RunningBuffers:
    """The buffers of one model, over all ranks.

    Args:
        model: the bare model.
        world: this rank's place; a single rank has nothing to agree on.
    """

    def __init__(self, model: nn.Module, world: World) -> None:
        self._model = model
        self._world = world
        self._agreed: list[str] = []  # names of buffers that a rank has changed
        self._holders = _holders(model)
        self._first = True
        self._before = self._states()

    def news(self) -> int:
        """Return how many buffers this rank has changed that the other ranks do not know of yet."""
        if self._world.size == 1:
            return 0
        if self._first:  # some modules create their buffers in the first forward pass
            self._holders = _holders(self._model)
            self._first = False
        return len(self._changed())

    def agree(self) -> None:
        """Tell all ranks which buffers have changed; all ranks must call it."""
        changed = {name for names in gather(self._changed(), self._world) for name in names}
        self._agreed = sorted({*self._agreed, *changed})

    def merge(self, rows: float) -> None:
        """Set the floating-point buffers to the mean over all ranks; all ranks must call it.

        Args:
            rows: this rank's weight since the last merge; at least one rank has a weight above 0.
        """
        buffers = [buffer for buffer in self._of_agreed() if buffer.is_floating_point()]
        if not buffers:
            return
        flat = torch.cat([buffer.detach().reshape(-1).double() for buffer in buffers])
        # Multiplying by 0 would keep values that are not numbers.
        weighted = flat * rows if rows else torch.zeros_like(flat)
        sums = reduce_sums(torch.cat([weighted, weighted.new_tensor([rows])]))
        self._fill(buffers, sums[:-1] / sums[-1])

    def merge_counters(self) -> None:
        """Set each buffer that is not of floating point to the largest value of all ranks; all ranks must call it."""
        buffers = [buffer for buffer in self._of_agreed() if not buffer.is_floating_point()]
        if buffers:
            flat = torch.cat([buffer.detach().reshape(-1).to(torch.int64) for buffer in buffers])
            self._fill(buffers, reduce_largest(flat))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Undo the changes of a forward pass to buffers that are known to change."""
        kept = [(buffer, buffer.clone()) for buffer in self._of_agreed()]
        yield
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)

    def _fill(self, buffers: list[Tensor], values: Tensor) -> None:
        parts = torch.split(values, [buffer.numel() for buffer in buffers])
        with torch.no_grad():
            for buffer, part in zip(buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))

    def _changed(self) -> list[str]:
        """Return the names of buffers that were written or replaced since the beginning, without the agreed ones."""
        return [
            name
            for name, (buffer, writes) in self._states().items()
            if name not in self._agreed and not _same(self._before.get(name), buffer, writes)
        ]

    def _states(self) -> dict[str, tuple[Tensor, int]]:
        """Return each buffer with its version, the number of writes."""
        return {name: (buffer, buffer._version) for name, buffer in self._named()}

    def _of_agreed(self) -> list[Tensor]:
        if not self._agreed:
            return []
        buffers = dict(self._named())
        return [buffers[name] for name in self._agreed]

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._holders:
            yield from module.named_buffers(prefix, recurse=False)


def _holders(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (name, module) for name, module in model.named_modules() if any(True for _ in module.buffers(recurse=False))
    ]


def _same(before: tuple[Tensor, int] | None, buffer: Tensor, writes: int) -> bool:
    return before is not None and before[0] is buffer and before[1] == writes
