"""One rank's work from the first file to the published artifacts, for an algorithm of any kind."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.contract.manifest import FEATURES_FILE, Manifest
from cleanroom_algo.errors import SingleHostError
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles, base_model_channel
from cleanroom_algo.training.artifacts.writer import ArtifactWriter, Draft
from cleanroom_algo.training.inputs import Inputs
from cleanroom_algo.training.options import read_options
from cleanroom_algo.training.process.signals import StopRequest

if TYPE_CHECKING:
    import polars as pl

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.training.process.job import Job
    from cleanroom_algo.training.trainer import Trainer

_LIBRARIES = ("cleanroom-algo", "torch", "polars", "numpy", "scikit-learn")

log = logging.getLogger(__name__)


class Context:
    """What a trainer works with, beyond what it declares.

    Attributes:
        job: the job.
        local_rank: within the host.
        ranks: per host.
        stop: whether the job was asked to end.
        options: the trainer's.
        writer: of the model directory.
        inputs: the channels.
        total_steps: the planned optimizer steps, once known.
    """

    def __init__(self, job: Job, local_rank: int, ranks: int, stop: StopRequest, base: Path | None) -> None:
        self.job = job
        self.local_rank = local_rank
        self.ranks = ranks
        self.stop = stop
        self.options = read_options(job.trainer, job.params)
        settings = job.environment.settings
        self.writer = ArtifactWriter.for_job(job.environment.paths.model, settings.max_artifact_gb)
        self.inputs = Inputs(job.environment, base_model_channel(job.environment))
        self.total_steps: int | None = None
        self._base = base

    def train(self) -> None:
        """Run the algorithm and leave its artifacts."""
        trainer = self.job.trainer(self)
        if self._base is not None:
            trainer.base = BaseModelFiles.open(
                self._base,
                algorithms={self.job.trainer.__name__, *self.options.base_algorithms},
                schema=getattr(self.job.trainer, "schema", None),
                trusted_pickles=self.options.trusted_pickles,
            )
        if self.job.has_own_fit:
            self._own_fit(trainer)
        else:
            trainer.fit()

    def manifest(self, trainer: Trainer, *, steps: int = 0, rows: int = 0) -> Manifest:
        """Return what the manifest says, but for its files.

        Args:
            trainer: whose artifacts they are.
            steps: optimizer steps of this job.
            rows: rows seen in this job.
        """
        base = trainer.base.manifest if trainer.base is not None else None
        schema = getattr(self.job.trainer, "schema", None)
        return Manifest(
            algorithm=self.job.trainer.__name__,
            library_versions=_library_versions(),
            table_schema=schema.to_dict() if schema is not None else None,
            hyperparameters=dict(self.job.environment.hyperparameters),
            metrics=dict(trainer._final_metrics),
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
        if self.job.has_own_fit:
            self.stop.interrupt_code(interrupt=False)
            self.stop.expendable = False
        return bool(self.stop)

    def _own_fit(self, trainer: Trainer) -> None:
        resources = self.job.environment.resources
        if resources.host_count > 1:
            self._refuse_sharded()
            if resources.host_rank:
                log.info("%s trains on %s alone", self.job.trainer.__name__, resources.first_host)
                return
        self.writer.recover()
        trainer.fit()
        self.stop.interrupt_code(interrupt=False)
        with self.writer.draft() as draft:
            self.add_own_files(trainer, draft)
            published = self.writer.publish(draft, self.manifest(trainer))
        log.info("%s", self.writer.report(published))

    def _refuse_sharded(self) -> None:
        sharded = [
            name
            for name, channel in self.job.environment.channels.items()
            if channel.distribution is Distribution.SHARDED_BY_S3_KEY
        ]
        if sharded:
            raise SingleHostError(
                f"{self.job.trainer.__name__} has its own fit, and {', '.join(sharded)} is spread over "
                f"{self.job.environment.resources.host_count} hosts",
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
