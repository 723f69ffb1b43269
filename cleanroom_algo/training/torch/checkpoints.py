"""Checkpoints on the local disk: a killed run continues after its last complete epoch, and computes the same bits.

They are in SageMaker's folder for checkpoints, below the host's name, because all hosts of a SageMaker job share one
prefix: `<host>/epoch-00003/` contains `about.json`, `state.pt`, `best.pt` if the best weights are kept, and
`rank-<rank>.pt` for each rank of the host. Clean Rooms ML has no checkpoint configuration (botocore model of
cleanroomsml, CreateTrainedModel), so in its jobs they exist as long as the host's disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import ArtifactWriteError, CheckpointError, Problem
from cleanroom_algo.training.artifacts.writer import disk_errors
from cleanroom_algo.training.torch.collectives import any_rank, barrier

FORMAT = 2
ABOUT_FILE = "about.json"
STATE_FILE = "state.pt"
BEST_FILE = "best.pt"
_OLDER = "step-*"  # folders of the first format, which was also written during epochs

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A checkpoint.

    Attributes:
        state: what the ranks of a host share; None if another host has it.
        own: what only this rank has.
        best: the same as `state`, after the best epoch.
    """

    state: dict[str, Any] | None
    own: dict[str, Any]
    best: dict[str, Any] | None


class Checkpoints:
    """The checkpoints of one rank's host.

    Args:
        directory: of this host.
        world: this rank's place; the first rank of a host writes what its ranks share.
        training: values that must be equal to continue from a checkpoint, by name.
        keep: how many checkpoints are kept.
        keep_best: whether the state after the best epoch is kept, too.
    """

    def __init__(
        self,
        directory: Path,
        *,
        world: World,
        training: Mapping[str, Any],
        keep: int,
        keep_best: bool = False,
    ) -> None:
        self._directory = directory
        self._rank_file = f"rank-{world.rank}.pt"
        self._leads = world.local_rank == 0
        self._world = world
        self._about = {"format": FORMAT, **training}
        self._keep = keep
        self._keep_best = keep_best

    def save(self, epoch: int, state: dict[str, Any] | None, own: dict[str, Any], *, better: bool) -> None:
        """Write a checkpoint; all ranks call it after the same epoch.

        If it does not fit on a disk, all older checkpoints except the newest are deleted, on all hosts. If it
        still does not fit, training continues without it: checkpoints only serve to resume, and the newest one is kept.

        Args:
            epoch: how many epochs are complete.
            state: what the ranks of a host share; None if this rank does not have it.
            own: what only this rank has.
            better: whether this epoch is the best so far.
        """
        if not self._written(epoch, state, own, better=better):
            self._prune(keep=1)
            barrier()
            if not self._written(epoch, state, own, better=better):
                if self._leads:
                    log.warning(
                        "no checkpoint after epoch %d: it could not be written to the disk; training continues", epoch
                    )
                return
        self._prune(keep=self._keep)

    def load(self) -> Found | None:
        """Return the newest checkpoint that all ranks have; None if there is none.

        Raises:
            CheckpointError: CR-TRN-009, it is damaged, of another training, or of an older format.
        """
        self._refuse_older()
        of_ranks = gather([path.name for path in self._whole()], self._world)
        common = sorted(set.intersection(*map(set, of_ranks)))
        if not common:
            return None
        path = self._directory / common[-1]
        self._check_same(path)
        log.info("continuing from checkpoint %s", path.name)
        state, best = (_read(path / name) if (path / name).is_file() else None for name in (STATE_FILE, BEST_FILE))
        return Found(state, _read(path / self._rank_file), best)

    def clear(self) -> None:
        """Remove all checkpoints: the job is done, and a new job starts from the beginning."""
        if self._leads:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _written(self, epoch: int, state: dict[str, Any] | None, own: dict[str, Any], *, better: bool) -> bool:
        draft = self._directory / f".epoch-{epoch:05}"

        def begin() -> None:
            if self._leads:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(parents=True)
                (draft / ABOUT_FILE).write_text(json.dumps(self._about))

        def write() -> None:
            _write(draft / self._rank_file, own)
            if state is not None:
                _write(draft / STATE_FILE, state)
                if self._keep_best:
                    self._add_best(draft, better=better)

        def end() -> None:
            if self._leads:
                final = self._directory / draft.name[1:]
                shutil.rmtree(final, ignore_errors=True)
                draft.rename(final)

        written = _on_all_ranks(begin) and _on_all_ranks(write) and _on_all_ranks(end)
        if self._leads:
            shutil.rmtree(draft, ignore_errors=True)
        return written

    def _add_best(self, draft: Path, *, better: bool) -> None:
        """Keep the state after the best epoch as a second name of its file, which uses no disk space."""
        folder = draft if better else max(self._whole(), default=draft)
        best = folder / (STATE_FILE if better else BEST_FILE)
        if best.is_file():
            os.link(best, draft / BEST_FILE)

    def _prune(self, *, keep: int) -> None:
        if self._leads:
            for old in self._whole()[:-keep]:
                shutil.rmtree(old, ignore_errors=True)

    def _whole(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("epoch-*") if (path / ABOUT_FILE).is_file())

    def _refuse_older(self) -> None:
        if any(self._directory.glob(_OLDER)):
            raise CheckpointError(
                f"{self._directory} holds checkpoints of an earlier release",
                expected="checkpoints that this release has written, or none",
                fix=f"rm -r {self._directory}; training then starts from the beginning",
            )

    def _check_same(self, path: Path) -> None:
        try:
            found = json.loads((path / ABOUT_FILE).read_text())
            problems = [Problem(name, "differs") for name, value in self._about.items() if found.get(name) != value]
        except (OSError, ValueError, AttributeError) as error:
            raise _damaged(path / ABOUT_FILE, error) from error
        if problems:
            raise CheckpointError(
                f"{path.parent} holds checkpoints of another training",
                expected="the same algorithm, schema, hyperparameters, hosts and ranks as when they were written",
                fix=f"continue with the request that wrote them, or rm -r {path.parent} to start from the beginning",
                problems=problems,
            )


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def random_states() -> dict[str, Any]:
    """Return the states of the random generators that training uses, as plain values and tensors."""
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
    """Restore what `random_states` returned."""
    import numpy as np

    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _on_all_ranks(work: Callable[[], None]) -> bool:
    """Do some work; return whether it could be written to the disk on all ranks."""
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
        raise _damaged(path, error) from error
    return state


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path.parent.name}/{path.name} cannot be read ({type(error).__name__})",
        expected="an unchanged checkpoint of this library",
        fix=f"remove {path.parent}; training then continues from the previous one, or starts from the beginning",
    )
