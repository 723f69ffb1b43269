"""One rank's work from the first file to the published artifacts, for an algorithm of any kind."""

from __future__ import annotations

import logging
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.algorithm import source_hash
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.manifest import FEATURES_FILE, Manifest
from cleanroom_algo.errors import SingleHostError
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles, base_model_channel
from cleanroom_algo.training.artifacts.writer import ArtifactWriter, Draft
from cleanroom_algo.training.inputs import Inputs
from cleanroom_algo.training.options import read_options
from cleanroom_algo.training.signals import Phase, StopRequest
from cleanroom_algo.training.trainer import Trainer

if TYPE_CHECKING:
    import polars as pl

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.data.world import World

_LIBRARIES = ("cleanroom-algo", "torch", "polars", "numpy", "scikit-learn")

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
                return
        self.writer.recover()
        trainer.fit()
        self.stop.enter(Phase.COOPERATING)
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
        return Manifest(
            algorithm=self.algorithm.__name__,
            library_versions=_library_versions(),
            table_schema=schema.to_dict() if schema is not None else None,
            source_hash=self._source_hash,
            hyperparameters={name: value if shown else None for name, value in self.params.effective().items()},
            metrics=dict(self.final_metrics),
            base_version=base.created if base is not None else None,
            steps=steps + (base.steps if base is not None else 0),
            rows=rows + (base.rows if base is not None else 0),
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

    def fit_features(self, trainer: Trainer) -> Features:
        """Return the base model's features, or fit them on the training channel with the other ranks."""
        if trainer.base is not None and (features := trainer.base.features()) is not None:
            return features
        return self.inputs.fit_features(trainer.schema, trainer.world)

    def table(self, trainer: Trainer, channel: str) -> pl.DataFrame:
        """Return this host's rows of a channel."""
        return self.inputs.table(trainer.schema, channel)

    def stops_cooperatively(self) -> bool:
        """Return whether the job was asked to end, to code that will act on it."""
        if self.algorithm.has_own_fit():
            self.stop.enter(Phase.COOPERATING)
        return bool(self.stop)

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
                expected="FullyReplicated channels, or one host, for an algorithm that overrides `fit`",
                fix="set instanceCount to 1, or s3DataDistributionType to FullyReplicated, in the request",
            )


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
