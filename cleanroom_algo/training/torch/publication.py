"""When and what a torch algorithm publishes: best or last weights, of limited size, in time when the job is stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from cleanroom_algo.contract.manifest import MANIFEST_FILE, WEIGHTS_FILE
from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import ArtifactTooLargeError
from cleanroom_algo.training.artifacts.model_state import full_model_state, named_optimizer_state
from cleanroom_algo.training.artifacts.optimizer_state import optimizer_tensors
from cleanroom_algo.training.artifacts.tensor_file import add_tensors, largest_size
from cleanroom_algo.training.artifacts.weights import OPTIMIZER_FILE
from cleanroom_algo.training.signals import GRACE_SECONDS
from cleanroom_algo.training.torch.collectives import from_rank
from cleanroom_algo.training.torch.progress import Progress
from cleanroom_algo.training.torch.run import TorchRun

if TYPE_CHECKING:
    from torch import Tensor

    from cleanroom_algo.training.artifacts.writer import Draft

_MARGIN_SECONDS = 10.0  # between the end of a save and the platform's SIGKILL
_SAFETY = 1.5  # durations of equal saves differ by this factor when the disk is busy
_ASSUMED_RATE = 100e6  # bytes per second, before the first save is measured: a small network disk
_SHARE_OF_TIME = 20  # slow saves during an epoch may take this part of the training time

log = logging.getLogger(__name__)


class Publication:
    """Publishes the artifacts of one training.

    Args:
        run: the training.

    Attributes:
        metrics: of the weights that were published last.
    """

    def __init__(self, run: TorchRun) -> None:
        self._run = run
        self._rank_run = run.rank_run
        self._options = run.options
        self._given_up = 0  # steps of `shrink` that were taken
        self._last = time.monotonic()
        self._took: float | None = None
        self._published = False
        self._pending_better = False
        self.metrics: dict[str, float] = {}

    # --- when -------------------------------------------------------------------------------------------------------

    def publish_epoch(self, progress: Progress, *, better: bool) -> None:
        """Publish after an epoch if it is due: the best weights always, the last ones not more often than requested.

        Saves that would take half of the grace period are made after each epoch, because a stop may not leave enough
        time.
        """
        if self._options.keep == "best":
            due = better
        else:
            due = self._agreed(self._slow or time.monotonic() - self._last >= self._options.publish_seconds)
        if due:
            self.publish(progress)

    def publish_early(self, progress: Progress) -> None:
        """Publish during an epoch if a save is so slow that a stop may not leave enough time for it.

        The best weights are only known after an epoch; before the first one has ended, the last weights are published.
        """
        if self._options.keep == "best" and self._published:
            return
        waited = time.monotonic() - self._last
        due = self._slow and waited >= max(self._options.publish_seconds, self._seconds * _SHARE_OF_TIME)
        if self._agreed(due):
            self.publish(progress)

    def note_better(self) -> None:
        """Record that the final weights are the best."""
        self._pending_better = True

    def publish_final(self, progress: Progress) -> None:
        """Publish at the end, unless the best weights are already published."""
        if self._options.keep == "best" and self._published and not self._pending_better:
            return
        self.publish(progress)

    def publish_stopped(self, progress: Progress) -> None:
        """Publish after a stop, unless the remaining time is too short and earlier artifacts exist."""
        if self._options.keep == "best" and self._published:
            return
        enough = self._agreed(self._run.stop.grace_left - _MARGIN_SECONDS > self._seconds * _SAFETY)
        if not enough and self._published:
            log.warning("no time for another save: the artifacts of the last publication stay")
            return
        self.publish(progress)

    def state(self) -> dict[str, Any]:
        """Return what a run that continues from a checkpoint must know about earlier publications."""
        return {"published": self._published, "metrics": dict(self.metrics)}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, if the artifacts of the earlier run still exist."""
        self._published = self.outlived() and state["published"]
        if self._published:
            self.metrics = dict(state["metrics"])

    def outlived(self) -> bool:
        """Whether there are artifacts of this run or of an earlier one."""
        return bool(from_rank((self._rank_run.writer.directory / MANIFEST_FILE).is_file()))

    @property
    def _seconds(self) -> float:
        """The duration of a save: that of the last one, or an estimate from the size."""
        if self._took is None:
            self._took = sum(self._sizes().values()) / _ASSUMED_RATE
        return self._took

    @property
    def _slow(self) -> bool:
        return self._seconds * _SAFETY > GRACE_SECONDS / 2

    def _agreed(self, due: bool) -> bool:
        """Return the first rank's decision if all ranks take part in a save."""
        return bool(from_rank(due)) if self._run.sharded else due

    # --- what -------------------------------------------------------------------------------------------------------

    def check_fits(self) -> None:
        """Check the size of weights and optimizer by their shapes: after the first step, not after the last one.

        Raises:
            ArtifactTooLargeError: CR-ART-003, they would not fit even with everything that `shrink` allows.
        """
        with self._rank_run.writer.draft() as draft:
            while True:
                with self._shrinking():
                    return draft.check_cap(self._sizes())

    def publish(self, progress: Progress) -> None:
        """Publish the current model; all ranks call it."""
        started = time.monotonic()
        self._published = True
        self.metrics = dict(self._rank_run.final_metrics)
        weights = full_model_state(self._run.model, sharded=self._run.sharded)
        optimizer = None
        if self._options.save_optimizer and (self._run.sharded or self._optimized):  # shards: all ranks take part
            optimizer = named_optimizer_state(self._run.model, self._run.optimizer, sharded=self._run.sharded)
        if not self._run.leads:
            return
        while True:
            with self._shrinking():
                report = self._write(progress, weights, optimizer)
                break
        self._last = time.monotonic()
        self._took = self._last - started
        log.info("%s; saved in %.1f s", report, self._took)

    def _write(self, progress: Progress, weights: Mapping[str, Tensor], optimizer: dict[str, Any] | None) -> str:
        writer = self._rank_run.writer
        with writer.draft() as draft:
            self._add(draft, weights, optimizer)
            self._rank_run.add_own_files(self._run.trainer, draft)
            manifest = self._rank_run.manifest(self._run.trainer, steps=progress.step, rows=progress.rows)
            return writer.report(writer.publish(draft, manifest))

    def _add(self, draft: Draft, weights: Mapping[str, Tensor], optimizer: dict[str, Any] | None) -> None:
        stored = self._stored(weights)
        shard_bytes = int(self._options.shard_gb * GB) if self._options.shard_gb else None
        tensors, metadata = optimizer_tensors(optimizer) if optimizer is not None and self._optimized else ({}, {})
        coming = {WEIGHTS_FILE: largest_size(stored)}
        if metadata:
            coming[OPTIMIZER_FILE] = largest_size(tensors, metadata)
        draft.check_cap(coming)  # of both, before the first one is written
        add_tensors(draft, WEIGHTS_FILE, stored, shard_bytes=shard_bytes)
        if metadata:
            add_tensors(draft, OPTIMIZER_FILE, tensors, metadata=metadata)

    def _sizes(self) -> dict[str, int]:
        """Return the bytes of the large files, by the shapes of their tensors; a shard counts as the whole tensor."""
        weights = {
            name: value for name, value in self._run.model.state_dict().items() if isinstance(value, torch.Tensor)
        }
        dtype = self._dtype
        sizes = {WEIGHTS_FILE: sum(value.numel() * _width(value, dtype) for value in weights.values())}
        if self._optimized:
            state = (value for values in self._run.optimizer.state.values() for value in values.values())
            tensors = [value for value in state if isinstance(value, torch.Tensor)]
            sizes[OPTIMIZER_FILE] = sum(value.numel() * value.element_size() for value in tensors)
        return sizes

    @property
    def _optimized(self) -> bool:
        """Whether the optimizer is stored."""
        return self._options.save_optimizer and "optimizer" not in self._options.shrink[: self._given_up]

    @property
    def _dtype(self) -> torch.dtype | None:
        halves = [step for step in self._options.shrink[: self._given_up] if step != "optimizer"]
        name = halves[-1] if halves else self._options.save_dtype
        return None if name is None else getattr(torch, name)

    def _stored(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        dtype = self._dtype
        if dtype is None:
            return dict(weights)
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}

    @contextmanager
    def _shrinking(self) -> Iterator[None]:
        """Take the next step of `shrink` if the artifacts are too large, so that the caller can try again."""
        try:
            yield
        except ArtifactTooLargeError as error:
            if self._given_up >= len(self._options.shrink):
                raise
            step = self._options.shrink[self._given_up]
            self._given_up += 1
            told = "the optimizer is left out" if step == "optimizer" else f"weights are stored as {step}"
            log.warning("%s: from now on %s", error.what, told)


def _width(value: Tensor, dtype: torch.dtype | None) -> int:
    return dtype.itemsize if dtype is not None and value.is_floating_point() else value.element_size()
