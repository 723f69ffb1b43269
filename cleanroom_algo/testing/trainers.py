"""A Trainer in the process of a test or a debugger: no hosts, no sandbox, and unchanged exceptions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cleanroom_algo.channels.conform import conform
from cleanroom_algo.channels.schema import Csv
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import as_texts
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.resources import ResourceConfig
from cleanroom_algo.contract.settings import Settings
from cleanroom_algo.errors import ChannelDataError
from cleanroom_algo.local.setup.channel_data import ChannelData, as_frame, channel_source
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.testing.folders import Model, model_folder, temporary_folder
from cleanroom_algo.training.process.rank import train_rank
from cleanroom_algo.training.rank_run import RankRun
from cleanroom_algo.training.signals import StopRequest
from cleanroom_algo.training.trainer import Trainer

if TYPE_CHECKING:
    from cleanroom_algo.data.batch import Batch

T = TypeVar("T", bound=Trainer)


class TrainerRun(Artifacts):
    """The result of a training, and the Trainer itself. Its folder is removed with this object.

    Attributes:
        trainer: after its training.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer.environment.paths.model)
        self.trainer = trainer

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        return self.manifest.metrics

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files."""
        paths = (path for path in self.directory.rglob("*") if path.is_file())
        return tuple(sorted(path.relative_to(self.directory).as_posix() for path in paths))


def run_trainer(
    kind: type[Trainer],
    channels: Mapping[str, ChannelData] | None = None,
    *,
    hyperparameters: Mapping[str, object] | None = None,
    base_model: Model | None = None,
    **channel: ChannelData,
) -> TrainerRun:
    """Train in this process, as the only rank of one host, and return the result.

    Args:
        kind: the algorithm's class.
        channels: data by channel name, for names that are parameters of this function.
        hyperparameters: of any JSON type.
        base_model: what to start from: a result of this function, a model of a clean room, or its folder.
        channel: data by channel name: `train=FRAME`.

    Raises:
        HyperparameterError: CR-CON-002. TrainerDeclarationError: CR-TRN-005. ChannelDataError: CR-ROM-010. Whatever
            the algorithm raises goes through.
    """
    run = _rank_run(kind, {**(channels or {}), **channel}, hyperparameters, base_model)
    return TrainerRun(train_rank(run))


def make_trainer(
    kind: type[T],
    channels: Mapping[str, ChannelData] | None = None,
    *,
    hyperparameters: Mapping[str, object] | None = None,
    base_model: Model | None = None,
    **channel: ChannelData,
) -> T:
    """Return a trainer before its first step: you can call `model`, `loss` and `fit` yourself.

    Arguments and errors are those of `run_trainer`.
    """
    run = _rank_run(kind, {**(channels or {}), **channel}, hyperparameters, base_model)
    trainer = run.trainer()
    assert isinstance(trainer, kind)
    if kind.has_own_fit():
        trainer.world = run.world if kind.distributed else None
    else:
        from cleanroom_algo.training.torch.devices import pick_device

        trainer.world = run.world
        trainer.device = pick_device(0)
        trainer.features = trainer.fit_features()
    return trainer


def make_batch(trainer: Trainer, data: ChannelData) -> Batch:
    """Return the rows of a frame as a batch, as the training loop passes it to `loss`.

    Args:
        trainer: of `make_trainer`.
        data: a frame of polars or pandas.

    Raises:
        SchemaError: the rows do not fit the trainer's schema.
    """
    from cleanroom_algo.data.batch import Batch

    frame = conform(as_frame(data), trainer.schema.columns, source="frame")
    return Batch.of(trainer.features.transform(frame)).to(trainer.device)


def _rank_run(
    kind: type[Trainer],
    channels: Mapping[str, ChannelData],
    hyperparameters: Mapping[str, object] | None,
    base_model: Model | None,
) -> RankRun:
    texts = as_texts(hyperparameters or {})
    params = kind.hyperparameters.parse(texts)
    kind.check_declaration(params)
    stop = StopRequest()
    root = temporary_folder(stop)
    paths = Paths(root / "ml")
    for path in (paths.data, paths.config, paths.model, paths.output_data, paths.checkpoints):
        path.mkdir(parents=True)
    csv = kind.schema.csv if hasattr(kind, "schema") else Csv()
    for name, data in channels.items():
        _show(channel_source(data, root / "data", csv=csv), paths.channel(name))
    environment = Environment(
        paths=paths,
        job_name=None,
        job_arn=None,
        hyperparameters=texts,
        channels={name: Channel(name, paths) for name in sorted(channels)},
        resources=ResourceConfig(current_host="algo-1", hosts=("algo-1",)),
        variables={},
        settings=Settings(algorithm=inspect.getsourcefile(kind) or kind.__module__),
    )
    base = None if base_model is None else model_folder(base_model, stop)
    return RankRun(environment, kind, params, local_rank=0, ranks=1, stop=stop, base=base)


def _show(source: object, place: Path) -> None:
    """Make a folder or a file of this machine available as a channel."""
    if not isinstance(source, Path):
        raise ChannelDataError(
            f"{source} is not on this machine",
            expected="a DataFrame, a dictionary from file names to texts, a folder or a file",
            fix="download it, or use the fixture clean_room",
        )
    if source.is_dir():
        place.symlink_to(source)
    else:
        place.mkdir()
        (place / source.name).symlink_to(source)
