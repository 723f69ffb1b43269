"""Batches on the device: fetched one ahead, and copied while the previous one is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import nn

from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.errors import OneRowBatchError

if TYPE_CHECKING:
    import torch


class Batches:
    """The batches of a dataset, on the device of this rank.

    Args:
        dataset: of this rank.
        device: where batches go.
    """

    def __init__(self, dataset: ChannelDataset, device: torch.device) -> None:
        self._dataset = dataset
        self._device = device

    @property
    def steps(self) -> int | None:
        """The batches of an epoch, equal on all ranks; None in Pipe mode. All ranks must ask; each counts its rows."""
        return self._dataset.steps

    def check_last(self, model: nn.Module) -> None:
        """Check that no batch has a single row if the model cannot train on one.

        The rows are only counted if they are on this host's disk (File mode).

        Raises:
            OneRowBatchError: CR-TRN-012.
        """
        dataset = self._dataset
        if dataset.drop_last or dataset.channel.input_mode is not InputMode.FILE or not _needs_rows(model):
            return
        if any(rows and (rows - 1) % dataset.batch_size == 0 for rows in dataset.loader_rows or ()):
            raise one_row_error(f"the last batch of an epoch on rank {dataset.world.rank}")

    def epoch(self, number: int) -> Iterator[tuple[Batch, bool]]:
        """Yield the batches of an epoch, each with whether it is the last.

        Args:
            number: of the epoch, from 0.
        """
        self._dataset.set_epoch(number)
        source = iter(self._dataset)
        current = self._fetch(source)
        while current is not None:
            following = self._fetch(source)  # it is copied while the current batch is computed
            yield current, following is None
            current = following

    def _fetch(self, source: Iterator[Batch]) -> Batch | None:
        batch = next(source, None)
        if batch is None or self._device.type == "cpu":
            return batch
        return batch.pin_memory().to(self._device, non_blocking=True)


def one_row_error(what: str) -> OneRowBatchError:
    """Return the error for a batch of one row and a model with BatchNorm."""
    return OneRowBatchError(
        f"{what} has one row, on which BatchNorm cannot train",
        expected="at least two rows in each batch of a model with BatchNorm",
        fix="set drop_last = True to leave out smaller batches, or choose another batch_size",
    )


def _needs_rows(model: nn.Module) -> bool:
    """Whether a model has layers that normalize only over rows; those for images also have pixels."""
    return any(isinstance(module, nn.BatchNorm1d) for module in model.modules())
