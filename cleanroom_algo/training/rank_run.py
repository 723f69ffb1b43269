"""One rank's work from the first file to the published artifacts, for an algorithm of any kind."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cleanroom_algo.contract.algorithm import algorithm_file, source_hash
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.manifest import FEATURES_FILE, Manifest, PrivacyRecord
from cleanroom_algo.errors import NoDataError, PrivateTrainingError, SingleHostError
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles, base_model_channel
from cleanroom_algo.training.artifacts.writer import ArtifactWriter, Draft
from cleanroom_algo.training.inputs import Inputs, alone, no_rows
from cleanroom_algo.training.options import read_options
from cleanroom_algo.training.signals import Phase, StopRequest
from cleanroom_algo.training.trainer import Trainer

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.world import World

_LIBRARIES = {
    "cleanroom-algo": "cleanroom_algo",
    "torch": "torch",
    "polars": "polars",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "xgboost-cpu": "xgboost",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "opacus": "opacus",
}
"""What an algorithm may compute with, by distribution; each with its module."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

T = TypeVar("T")

log = logging.getLogger(__name__)


class RankRun:
    """One rank's work, and what its trainer works with beyond what it declares.

    Args:
        environment: what the platform gave.
        algorithm: the class to train.
        params: its hyperparameters, typed.
        local_rank: of this rank within its host, from 0.
        ranks: per host.
        stop: whether the job was asked to end.
        base: the folder with the files of the base model, if any.

    Attributes:
        options: the trainer's.
        writer: of the model directory.
        inputs: the channels.
        total_steps: the planned optimizer steps, once known.
        final_metrics: the last value of each metric, for the manifest.
        privacy: returns what a private training has spent so far; None where it is not private.
    """

    def __init__(
        self,
        environment: Environment,
        algorithm: type[Trainer],
        params: Hyperparameters,
        *,
        local_rank: int,
        ranks: int,
        stop: StopRequest,
        base: Path | None,
    ) -> None:
        self.environment = environment
        self.algorithm = algorithm
        self.params = params
        self.stop = stop
        self.options = read_options(algorithm, params)
        self.writer = ArtifactWriter.for_job(environment.paths.model, environment.settings.max_artifact_gb)
        self.inputs = Inputs(environment, base_model_channel(environment))
        self.total_steps: int | None = None
        self.final_metrics: dict[str, float] = {}
        self.privacy: Callable[[], PrivacyRecord] | None = None
        self._place = local_rank, ranks
        self._base = base

    @cached_property
    def world(self) -> World:
        """This rank's place among all."""
        return self.inputs.world(*self._place)

    def trainer(self) -> Trainer:
        """Return a new trainer, with the files of its base model."""
        trainer = self.algorithm(self)
        if self._base is not None:
            trainer.base = BaseModelFiles.open(
                self._base,
                algorithms={self.algorithm.__name__, *self.options.base_algorithms},
                schema=getattr(self.algorithm, "schema", None),
                trusted_pickles=self.options.trusted_pickles,
            )
            self._tell_changes(trainer.base)
        return trainer

    def _tell_changes(self, base: BaseModelFiles) -> None:
        if base.manifest is None or self._place[0] or self.environment.resources.host_rank:
            return
        changes = base.manifest.changes(source_hash=self._source_hash, hyperparameters=self.params.effective())
        for change in changes:
            log.warning("base model: %s", change)

    @cached_property
    def _source_hash(self) -> str | None:
        return source_hash(self.environment.settings.algorithm)

    def train_alone(self, trainer: Trainer) -> None:
        """Run an algorithm with its own `fit`, on the first host, and leave its artifacts."""
        resources = self.environment.resources
        if resources.host_count > 1:
            self._refuse_sharded()
            if resources.host_rank:
                log.info("%s trains on %s alone", self.algorithm.__name__, resources.first_host)
        if resources.host_rank or self._place[0]:
            return
        self._fit(trainer)

    def train_together(self, trainer: Trainer) -> None:
        """Run an algorithm with its own `fit` beside the other ranks, and leave what the first one saves."""
        trainer.world = self.world
        self._fit(trainer)

    def _fit(self, trainer: Trainer) -> None:
        leads = trainer.world is None or trainer.world.rank == 0
        if leads:
            self.writer.recover()
        trainer.fit()
        self.stop.enter(Phase.COOPERATING)
        if not leads:
            return
        with self.writer.draft() as draft:
            self.add_own_files(trainer, draft)
            published = self.writer.publish(draft, self.manifest(trainer))
        log.info("%s", self.writer.report(published))

    def manifest(self, trainer: Trainer, *, steps: int = 0, rows: int = 0) -> Manifest:
        """Return what the manifest says, but for its files.

        Args:
            trainer: whose artifacts they are.
            steps: optimizer steps of this job.
            rows: rows seen in this job.
        """
        base = trainer.base.manifest if trainer.base is not None else None
        schema = getattr(self.algorithm, "schema", None)
        shown = self.environment.settings.manifest_values
        privacy = self.privacy() if self.privacy is not None else None
        spent = {"epsilon": privacy.epsilon, "delta": privacy.delta} if privacy is not None else {}
        return Manifest(
            algorithm=self.algorithm.__name__,
            library_versions=_library_versions(self.environment.settings.algorithm),
            table_schema=schema.to_dict() if schema is not None else None,
            source_hash=self._source_hash,
            hyperparameters={name: value if shown else None for name, value in self.params.effective().items()},
            metrics={**self.final_metrics, **spent},
            base_version=base.created if base is not None else None,
            steps=steps + (base.steps if base is not None else 0),
            rows=rows + (base.rows if base is not None else 0),
            privacy=privacy,
        )

    def add_own_files(self, trainer: Trainer, draft: Draft) -> None:
        """Write the features and what the algorithm's `save` writes.

        Raises:
            ArtifactTooLargeError: CR-ART-003.
        """
        features = getattr(trainer, "features", None)
        if features is not None:
            draft.write_json(FEATURES_FILE, features.to_dict())
        trainer.save(draft.path)
        draft.check_cap()

    def fit_features(self, trainer: Trainer, numeric: Sequence[str] | None = None) -> Features:
        """Return the base model's features, or fit them on the training channel with the other ranks."""
        if trainer.base is not None and (features := trainer.base.features()) is not None:
            self._tell_unknown(trainer, features)
            return features
        if self.options.private:
            raise PrivateTrainingError(
                "features would be fitted on private rows, and published without noise",
                expected="features that are declared, or fitted on a public channel",
                fix="override fit_features: return Features.declared(self.schema, numeric={'age': (mean, deviation)}, "
                "categorical={'state': ['CA', 'NY']}) with public values; or train without private",
            )
        return self.inputs.fit_features(trainer.schema, trainer.world or alone(), self.options, numeric)

    def _tell_unknown(self, trainer: Trainer, features: Features) -> None:
        """Log how many categories of the first rows are new to the base model; the rows of a pipe come only once."""
        if self.options.private or not (features.categorical and self.inputs.train.input_mode.has_files):
            return
        names = [feature.name for feature in features.categorical]
        world = trainer.world or alone()
        first = next(self.inputs.tables(trainer.schema, self.inputs.train, world, names), None)
        unknown = {} if first is None or world.rank else features.unknown_values(first)
        if told := [f"{name}: {new:,} of {count:,}" for name, (new, count) in unknown.items() if new]:
            log.warning("values of the first rows that the base model does not know, with index 0: %s", "; ".join(told))

    def tables(self, trainer: Trainer, channel: str, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield this rank's rows of a channel."""
        return self.inputs.tables(trainer.schema, self._readable(channel), trainer.world or alone(), columns)

    def dataset(self, trainer: Trainer, channel: str) -> ChannelDataset:
        """Return this rank's batches of tensors of a channel."""
        found = self._readable(channel)
        return self.inputs.dataset(trainer, found, self.options, self.stop, training=found is self.inputs.train)

    def _readable(self, name: str) -> Channel:
        """Return a channel that a hook may read."""
        found = self.inputs.channel(name)
        if self.options.private and found.name not in self.options.public_channels:
            raise PrivateTrainingError(
                f"a hook of {self.algorithm.__name__} reads channel {found.name!r}, which is private",
                expected="hooks that see private rows in `loss` only, where their gradients are clipped and noised",
                fix="do not read it; or, if its rows need no protection, name it in public_channels",
            )
        return found

    def no_rows(self, channel: str) -> NoDataError:
        """Return the error for a channel without rows on all hosts."""
        return no_rows(self.inputs.channel(channel))

    def tell_unread(self) -> None:
        """Log a warning of the channels that only an own `fit` would read."""
        if unread := self.inputs.unread:
            log.warning("the training reads the channels train and validation, and not %s", ", ".join(unread))

    def stops_cooperatively(self, *, done: bool = False) -> bool:
        """Return whether the job was asked to end, or a rank is done, to code that will act on it.

        The ranks of an own `fit` that runs on every host agree on it.
        """
        if not self.algorithm.has_own_fit():
            return bool(self.stop)
        self.stop.enter(Phase.COOPERATING)
        asked, any_done = self.reduce(np.array([bool(self.stop), done], dtype=np.int8), "max")
        if asked:
            self.stop.request()  # also where another host got the signal
        return bool(asked or any_done)

    @property
    def _ranks(self) -> int:
        return self.world.size if self.algorithm.distributed else 1

    def gather(self, value: T) -> list[T]:
        """Return every rank's value."""
        from cleanroom_algo.data.collectives import gather

        return gather(value, self.world) if self._ranks > 1 else [value]

    def reduce(self, array: NDArray[Any], op: str) -> NDArray[Any]:
        """Return the element-wise sum over all ranks, or the largest or smallest."""
        operation: np.ufunc = {"sum": np.add, "max": np.maximum, "min": np.minimum}[op]
        reduced: NDArray[Any] = operation.reduce(self.gather(np.asarray(array)))  # in the same order on all ranks
        return reduced

    def addresses(self) -> list[tuple[str, int]]:
        """Return an address of each rank, with a port that is free there."""
        meeting = os.environ.get("MASTER_ADDR", "localhost")  # of the first host, by the launcher
        name = meeting if meeting in LOOPBACK else self.environment.resources.current_host
        address = socket.gethostbyname(name if self._ranks > 1 else "localhost")
        with socket.socket() as probe:
            probe.bind((address, 0))
            # Held until all ranks have theirs, so that no port is given twice.
            return self.gather((address, int(probe.getsockname()[1])))

    def _refuse_sharded(self) -> None:
        sharded = [
            name
            for name, channel in self.environment.channels.items()
            if channel.distribution is Distribution.SHARDED_BY_S3_KEY
        ]
        if sharded:
            raise SingleHostError(
                f"{self.algorithm.__name__} has its own fit, and {', '.join(sharded)} is spread over "
                f"{self.environment.resources.host_count} hosts",
                expected="FullyReplicated channels, or one host, for a `fit` that is not `distributed`",
                fix="set distributed = True in the class, if its `fit` can share the work; or, in the request, "
                "instanceCount to 1 or s3DataDistributionType to FullyReplicated",
            )


def _library_versions(algorithm: str | Path) -> dict[str, str]:
    """Return the versions of the libraries that this process has imported for an algorithm."""
    versions = {}
    for name, module in _LIBRARIES.items():
        if module not in sys.modules or (module == "sklearn" and not _names_sklearn(algorithm)):
            continue
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _names_sklearn(algorithm: str | Path) -> bool:
    """Whether an algorithm's sources name scikit-learn: XGBoost and LightGBM import it for classes of their own."""
    file = algorithm_file(algorithm)
    if file is None:
        return True
    files = file.parent.glob("*.py") if Path(algorithm).is_file() else file.parent.rglob("*.py")
    return any(b"sklearn" in each.read_bytes().lower() for each in files)
