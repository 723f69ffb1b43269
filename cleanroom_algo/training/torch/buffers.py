"""Buffers that training changes: running statistics, counters, codebooks.

Each rank changes its own. After each optimizer step those of floating point become the mean over the ranks that had
rows, weighed by their rows, on all ranks: what is kept, and what the next step computes with, does not depend on which
rank had which rows. Counters become the largest where they are kept. What no rank has changed is left as it is.
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
        self._agreed: list[str] = []  # names of those that a rank has changed
        self._holders = _holders(model)
        self._first = True
        self._before = self._states()

    def news(self) -> int:
        """Return how many buffers this rank has changed of which the ranks do not know yet."""
        if self._world.size == 1:
            return 0
        if self._first:  # some modules make their buffers in the first forward pass
            self._holders = _holders(self._model)
            self._first = False
        return len(self._changed())

    def agree(self) -> None:
        """Let all ranks know which buffers are changed; all must come here."""
        changed = {name for names in gather(self._changed(), self._world) for name in names}
        self._agreed = sorted({*self._agreed, *changed})

    def merge(self, rows: float) -> None:
        """Give all ranks the mean of the floating-point buffers; all must come here.

        Args:
            rows: this rank's weight since the last merge; at least one rank has some.
        """
        buffers = [buffer for buffer in self._of_agreed() if buffer.is_floating_point()]
        if not buffers:
            return
        flat = torch.cat([buffer.detach().reshape(-1).double() for buffer in buffers])
        # Not multiplied by 0, which keeps what is not a number.
        weighted = flat * rows if rows else torch.zeros_like(flat)
        sums = reduce_sums(torch.cat([weighted, weighted.new_tensor([rows])]))
        self._fill(buffers, sums[:-1] / sums[-1])

    def merge_counters(self) -> None:
        """Give all ranks the largest of each buffer that is not of floating point; all must come here."""
        buffers = [buffer for buffer in self._of_agreed() if not buffer.is_floating_point()]
        if buffers:
            flat = torch.cat([buffer.detach().reshape(-1).to(torch.int64) for buffer in buffers])
            self._fill(buffers, reduce_largest(flat))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Undo what a forward pass changes, as far as it is known to change."""
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
        """Return the names of buffers that were written to or replaced since the beginning, but for the agreed ones."""
        return [
            name
            for name, (buffer, writes) in self._states().items()
            if name not in self._agreed and not _same(self._before.get(name), buffer, writes)
        ]

    def _states(self) -> dict[str, tuple[Tensor, int]]:
        """Return each buffer with the number of its writes."""
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
