"""Checkpoints on the local disk: a run that was killed goes on from the last whole one, to the same bits.

Clean Rooms ML has no checkpoint configuration (botocore model of cleanroomsml, CreateTrainedModel), so they last as
long as the host's disk does. Each host has a folder of its own, as all hosts of a SageMaker job share one prefix.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cleanroom_algo.errors import ArtifactWriteError, CheckpointError
from cleanroom_algo.training.artifacts.writer import disk_errors
from cleanroom_algo.training.torch.parallel import any_rank, barrier, gather

STATE_FILE = "state.pt"
_LAYOUT_FILE = "layout.json"

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one rank's host.

    Args:
        directory: of this host.
        rank: of this process over all hosts.
        leads: whether this process writes what the ranks of a host share.
        layout: what must be equal for positions and random states to be taken up: hosts and ranks.
        fingerprint: what must be equal for anything to be taken up: algorithm, schema, hyperparameters.
        keep: how many stay.
    """

    def __init__(
        self, directory: Path, *, rank: int, leads: bool, layout: list[int], fingerprint: str, keep: int
    ) -> None:
        self._directory = directory
        self._rank_file = f"rank-{rank}.pt"
        self._leads = leads
        self._about = {"layout": layout, "fingerprint": fingerprint}
        self._keep = keep

    def save(self, step: int, shared: dict[str, Any] | None, own: dict[str, Any]) -> None:
        """Write a checkpoint; all ranks call it after the same step.

        Where a disk does not take it, all older ones but the newest make room, on all hosts. Where it still does not
        fit, the training goes on without: a checkpoint is only there to resume from, and the newest whole one stays.

        Args:
            step: its name.
            shared: what the ranks of a host have in common; None where this rank does not hold it.
            own: this rank's random states and data position.
        """
        if not self._written(step, shared, own):
            self._prune(keep=1)
            barrier()
            if not self._written(step, shared, own):
                if self._leads:
                    log.warning("no checkpoint at step %d: a disk did not take it; training goes on", step)
                return
        self._prune(keep=self._keep)

    def load(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None] | None:
        """Return what the newest checkpoint that all ranks have holds: shared and own; None where there is none.

        Own is None where the layout of ranks was another; shared is None where another rank's host holds it.

        Raises:
            CheckpointError: CR-TRN-009, a file of it is damaged.
        """
        names = [set(found) for found in gather([path.name for path in self._whole()])]
        common = sorted(set.intersection(*names))
        if not common:
            return None
        path = self._directory / common[-1]
        about = json.loads((path / _LAYOUT_FILE).read_text())
        same_layout = about["layout"] == self._about["layout"] and (path / self._rank_file).is_file()
        shared = _read(path / STATE_FILE) if (path / STATE_FILE).is_file() else None
        log.info("going on from checkpoint %s", path.name)
        return shared, _read(path / self._rank_file) if same_layout else None

    def clear(self) -> None:
        """Remove all: the job is done, and a new job begins at its beginning."""
        if self._leads:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _written(self, step: int, shared: dict[str, Any] | None, own: dict[str, Any]) -> bool:
        draft = self._directory / f".step-{step:010}"

        def begin() -> None:
            if self._leads:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(parents=True)
                (draft / _LAYOUT_FILE).write_text(json.dumps(self._about))

        def write() -> None:
            _write(draft / self._rank_file, own)
            if shared is not None:
                _write(draft / STATE_FILE, shared)

        def end() -> None:
            if self._leads:
                final = self._directory / draft.name[1:]
                shutil.rmtree(final, ignore_errors=True)
                draft.rename(final)

        written = _on_all_ranks(begin) and _on_all_ranks(write) and _on_all_ranks(end)
        if self._leads:
            shutil.rmtree(draft, ignore_errors=True)
        return written

    def _prune(self, *, keep: int) -> None:
        if self._leads:
            for old in self._whole()[:-keep]:
                shutil.rmtree(old, ignore_errors=True)

    def _whole(self) -> list[Path]:
        found = []
        for path in sorted(self._directory.glob("step-*")):
            try:
                about = json.loads((path / _LAYOUT_FILE).read_text())
            except (OSError, ValueError):
                continue
            if about.get("fingerprint") == self._about["fingerprint"]:
                found.append(path)
        return found


def fingerprint(*parts: Any) -> str:
    """Return a short hash of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def random_states() -> dict[str, Any]:
    """Return the states of the generators that training draws from, as plain values and tensors."""
    import numpy as np

    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (
            name,
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Take up what `random_states` returned."""
    import numpy as np

    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _on_all_ranks(work: Callable[[], None]) -> bool:
    """Do a piece of work; return whether no rank's disk refused it."""
    refused = False
    try:
        with disk_errors():
            work()
    except ArtifactWriteError as error:
        log.debug("%s", error.what)
        refused = True
    return not any_rank(refused, torch.device("cpu"))


def _write(path: Path, state: dict[str, Any]) -> None:
    try:
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:
        # torch's zip writer hides the cause of a failed write.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path) -> dict[str, Any]:
    import pickle

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} cannot be read ({type(error).__name__})",
            expected="a checkpoint as this library wrote it",
            fix=f"remove {path.parent}; training then goes on from the one before, or starts anew",
        ) from error
    return state
