"""Batches on the device: fetched one ahead, copied asynchronously, padded where a rank has run out of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.dataset import ChannelDataset

if TYPE_CHECKING:
    import torch

_PADDING_ROWS = 2  # batch normalisation refuses a single row


class Batches:
    """The batches of a dataset, on the device of this rank.

    Args:
        dataset: of this rank.
        device: where batches go.
    """

    def __init__(self, dataset: ChannelDataset, device: torch.device) -> None:
        self._dataset = dataset
        self._device = device
        self._latest: Batch | None = None
        self._resumed: tuple[Iterator[Batch], Batch | None] | None = None

    @property
    def steps(self) -> int | None:
        """The batches of an epoch, equal on all ranks; None in Pipe mode. All ranks must ask, and count their rows."""
        return self._dataset.steps

    def resume(self, state: Mapping[str, Any]) -> int:
        """Let the next epoch go on where `position` was taken; all ranks must come here, and read up to there.

        Returns:
            Batches that this layout has taken of it; 0 where the layout is another one and takes over what is left.

        Raises:
            DataStateError: CR-DAT-002, the position cannot be taken up.
        """
        self._dataset.load_state_dict(dict(state))
        taken = self._dataset.taken
        self._resumed = self._begun()  # only now a pipe shows whether it is the same
        return taken

    def position(self, batches: int) -> dict[str, Any]:
        """Return the position after so many batches of the epoch under way, counted from where it was taken up."""
        return self._dataset.after(batches)

    def epoch(self, number: int) -> Iterator[tuple[Batch, bool]]:
        """Yield the batches of an epoch, or the rest of the one that was resumed, each with whether it is the last.

        Args:
            number: of the epoch, from 0.
        """
        if self._resumed is None:
            self._dataset.set_epoch(number)
        source, current = self._resumed or self._begun()
        self._resumed = None
        while current is not None:
            following = self._fetch(source)  # its copy runs while the current batch is computed
            yield current, following is None
            current = following

    def padded(self, batch: Batch) -> Batch:
        """Return a batch that has rows, for its shapes alone where the rank has none left: its weight is zero."""
        if batch.rows:
            self._latest = batch
            return batch
        return self._latest if self._latest is not None else self._zero_rows(batch)

    def filler(self) -> Batch:
        """Return a batch of zeros, for a step whose gradients nobody uses."""
        return self._zero_rows(self._dataset.empty().to(self._device))

    def _zero_rows(self, batch: Batch) -> Batch:
        target = batch.target
        return replace(
            batch,
            numeric=_zeros(batch.numeric),
            categorical=_zeros(batch.categorical),
            target=None if target is None else _zeros(target),
        )

    def _begun(self) -> tuple[Iterator[Batch], Batch | None]:
        source = iter(self._dataset)
        return source, self._fetch(source)

    def _fetch(self, source: Iterator[Batch]) -> Batch | None:
        batch = next(source, None)
        if batch is None or self._device.type == "cpu":
            return batch
        return batch.pin_memory().to(self._device, non_blocking=True)


def _zeros(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.new_zeros((_PADDING_ROWS, *tensor.shape[1:]))
