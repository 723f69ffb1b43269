"""`Trainer`: subclass it, define a model and a loss, and train.

Importing this module does not import torch: an algorithm that overrides `fit` and `save` never needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.metrics import log_metrics
from cleanroom_algo.training.options import Options, check_options

if TYPE_CHECKING:
    import polars as pl
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from torch.optim.lr_scheduler import LRScheduler

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.data.batch import Batch
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.world import World
    from cleanroom_algo.errors import NoDataError
    from cleanroom_algo.training.artifacts.base_model import BaseModelFiles


T = TypeVar("T")


class Run(Protocol):
    """What a trainer gets: the job, and the work that its hooks request."""

    environment: Environment
    params: Hyperparameters
    options: Options
    total_steps: int | None
    final_metrics: dict[str, float]

    def fit_features(self, trainer: Trainer, numeric: Sequence[str] | None = None) -> Features:
        """Return the preprocessing."""

    def tables(self, trainer: Trainer, channel: str, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield this rank's rows of a channel."""

    def dataset(self, trainer: Trainer, channel: str) -> ChannelDataset:
        """Return this rank's batches of tensors of a channel."""

    def no_rows(self, channel: str) -> NoDataError:
        """Return the error for a channel without rows on all hosts."""

    def tell_unread(self) -> None:
        """Log a warning of the channels that only an own `fit` would read."""

    def stops_cooperatively(self, *, done: bool = False) -> bool:
        """Return whether the job was asked to end, or a rank is done; the calling code will act on it."""

    def gather(self, value: T) -> list[T]:
        """Return every rank's value."""

    def reduce(self, array: NDArray[Any], op: str) -> NDArray[Any]:
        """Return the sum over all ranks, or another reduction."""

    def addresses(self) -> list[tuple[str, int]]:
        """Return an address of each rank, with a port that is free there."""


class Trainer:
    """An algorithm. A torch algorithm defines `schema`, `model` and `loss`; any other overrides `fit` and `save`.

    An algorithm with its own `fit` runs only on the first host, unless it sets `distributed = True`.

    The options below are class attributes; a hyperparameter of the same name overrides the attribute.

    Example:
        >>> class Delay(Trainer):
        ...     schema = Schema.of(target="late", distance="float32", late="bool")
        ...
        ...     def model(self):
        ...         return torch.nn.Linear(self.features.numeric_size, 1)
        ...
        ...     def loss(self, model, batch):
        ...         logits = model(batch.numeric).squeeze(1)
        ...         return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.target)

    Attributes:
        params: the typed hyperparameters.
        features: the fitted preprocessing; it is stored in the artifacts.
        environment: what the platform gave the container.
        world: this rank's place among all; None in an algorithm whose own `fit` runs only on the first host.
        device: a torch.device; "cuda" with the local rank's index where there is a GPU.
        base: the files of the base model, or None if training starts fresh.
    """

    schema: ClassVar[Schema]
    """The table of the channels."""
    hyperparameters: ClassVar[type[Hyperparameters]] = Hyperparameters
    """Their declaration; by default none are accepted."""

    epochs: int = 1
    """Passes over the training channel; at least 1."""
    batch_size: int = 1024
    """Rows per rank and step; so large that the fixed cost of a step is small."""
    learning_rate: float = 1e-3
    """Learning rate of the default optimizer, AdamW."""
    seed: int = 0
    """Seed of the model's initial weights, of shuffling, and of the generators of torch, numpy and random."""
    shuffle: bool = True
    """Whether rows are shuffled in each epoch, as far as possible with memory that does not grow with the data."""
    drop_last: bool = False
    """Whether batches that are smaller than `batch_size` are left out: the last one of each rank's loader."""
    max_categories: int = 1000
    """The most categories of a column that get their own index: the most frequent ones; others have index 0."""
    min_category_count: int = 5
    """How often a category must occur in the training data to get its own index: a rare one may identify a person, and
    its text is stored in the artifacts."""
    workers: int | None = None
    """Loader processes per rank; by default the setting CLEANROOM_ALGO_LOADER_WORKERS, or none."""
    accumulate: int = 1
    """Batches per optimizer step: the gradient is that of all their rows together."""
    clip_norm: float | None = None
    """The largest norm of the gradient; longer ones are scaled down. None: no clipping."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the forward pass (torch.autocast); weights stay float32. float16 includes loss scaling."""
    compile: bool = False
    """Whether the model is compiled by torch.compile; useful only for long trainings."""
    fsdp: bool = False
    """Whether parameters are sharded over the ranks (fully_shard), for models larger than one device."""
    unused_parameters: bool = False
    """Whether parameters may have no gradient in a step; searching for them costs time."""
    patience: int | None = None
    """Epochs without a better validation loss after which training ends. None: all epochs."""
    keep: Literal["best", "last"] = "last"
    """Which weights are published: those of the best validation loss, or the last."""
    log_steps: int = 50
    """Optimizer steps between two metric lines."""
    publish_seconds: float = 60.0
    """The least time between two publications during training; the end always publishes."""
    keep_checkpoints: int = 2
    """How many checkpoints are kept; one is written after each epoch. Two, because killed hosts may differ by one
    epoch."""
    save_optimizer: bool = True
    """Whether the artifacts contain the optimizer's state, so that a later version can continue training from it."""
    save_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Stores floating-point weights in this type; None stores them as they are."""
    shard_gb: float | None = None
    """Maximum size of a weights file in GB; larger weights are written as shards with an index. None: one file."""
    shrink: Sequence[Literal["optimizer", "bfloat16", "float16"]] = ()
    """What may be reduced, in this order, if the artifacts are too large: the optimizer's state is left out, weights
    are stored in half precision. Empty: the job fails, after its first step if the size is known by then."""
    base_fresh: Sequence[str] = ()
    """Patterns (fnmatch) of tensors that may start with new values although there is a base model: a new head."""
    base_grow: Sequence[str] = ()
    """Patterns of tensors that may be larger than the base model's and start with its values: a grown embedding."""
    base_algorithms: Sequence[str] = ()
    """Class names of other algorithms whose artifacts are accepted as a base model."""
    trusted_pickles: Sequence[str] = ()
    """Names of pickle files of a base model that may be opened. The author of such a file can run code in this job."""
    metric_names: Sequence[str] = ()
    """Names of the values that `metrics` returns, from which metricDefinitions are generated."""
    logged_names: Sequence[str] = ()
    """Names of the values that are passed to `log`, for the same purpose."""
    private: bool = False
    """Whether training is differentially private (DP-SGD by Opacus): the published weights reveal little about any
    single unit. The rows of a rank are kept in memory, `batch_size` is the expected number of units in a sample, and
    the loss of the training rows is not shown. Features must be declared. It needs the extra `privacy`; see the guide
    on privacy."""
    noise_multiplier: float | None = None
    """Of a private training: the noise in each step's sum of gradients has the standard deviation noise_multiplier x
    max_grad_norm. Give this or `epsilon`."""
    epsilon: float | None = None
    """Of a private training: what this job may spend; it determines the noise. A base model's epsilon is added."""
    delta: float = 1e-5
    """Of a private training: the probability that epsilon does not hold; it must be below 1 / units."""
    max_grad_norm: float = 1.0
    """Of a private training: the maximum norm of the gradient of a unit; longer ones are scaled down."""
    unit: str = "row"
    """Of a private training: what is protected. "row": each row; the name of a column: all rows with the same value in
    it, such as those of a person."""
    public_channels: Sequence[str] = ()
    """Of a private training: channels whose rows need no protection. Hooks can read only these, and a validation
    channel is used only if it is one of them."""
    base_data: Literal["same", "other"] = "same"
    """Of a private training from a base model: "same" adds what the base model has spent, as it may have seen the same
    units; "other" states that its data have no unit in common with this job's, so that it counts as public."""
    distributed: ClassVar[bool] = False
    """Whether an own `fit` runs on every host at the same time, each on its share of the rows. The training loop for
    torch always does."""

    params: Any
    features: Features
    environment: Environment
    world: World | None
    device: torch.device
    base: BaseModelFiles | None

    def __init__(self, run: Run) -> None:
        self._run = run
        self.environment = run.environment
        self.params = run.params
        self.base = None
        self.world = None

    # --- what a torch algorithm gives -------------------------------------------------------------------------------

    def model(self) -> nn.Module:
        """Return the model with its initial weights; `features`, `params` and `device` are already set."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over the batch's rows, a scalar tensor."""
        raise NotImplementedError

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """Return further means over a validation batch's rows, by name; they are averaged over all rows."""
        return {}

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer; by default AdamW with the option `learning_rate`.

        It is torch's fused AdamW, which takes a third of the time of the plain one, and real parameters only.
        """
        import torch

        return torch.optim.AdamW(model.parameters(), lr=self._run.options.learning_rate, fused=True)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:  # noqa: ARG002
        """Return a schedule of the learning rate, stepped after each optimizer step; by default none.

        A ReduceLROnPlateau is stepped with the validation loss after each epoch. `self.total_steps` is the number of
        optimizer steps that are planned; to compute it, a trainer with a schedule counts the channel's rows first.
        """
        return None

    def fit_features(self) -> Features:
        """Return the preprocessing: the base model's, or one fitted on the training channel by all ranks together."""
        return self._run.fit_features(self)

    def adapt_base(self, tensors: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the base model's tensors with the names and shapes of this model; by default unchanged."""
        return tensors

    # --- what any other algorithm gives -----------------------------------------------------------------------------

    def fit(self) -> None:
        """Train. Override it and `save` if the algorithm is not trained by the loop for torch.

        It runs once, on the first host; with `distributed = True`, on every host at the same time.
        """
        raise NotImplementedError(
            "torch algorithms are trained by a loop that is not part of `fit`: do not override it"
        )

    def save(self, directory: Path) -> None:
        """Write the artifacts, or for a torch model the files beside its weights; only the first rank runs it.

        Args:
            directory: contains only what this library writes. It becomes the model directory when it is complete.
        """

    # --- what hooks may use -----------------------------------------------------------------------------------------

    @property
    def total_steps(self) -> int | None:
        """The planned optimizer steps; None in Pipe mode, and for trainers without a `scheduler`."""
        return self._run.total_steps

    def table(self, channel: str = "train", *, whole: bool = False) -> pl.DataFrame:
        """Return rows of a channel as one table: with `distributed = True` this rank's share, else all of this host.

        The shares of all ranks contain each row once, whatever the channel's distribution; a share may be empty. In
        Pipe mode, each call reads the next epoch.

        Args:
            channel: its name; "train" also means the only channel.
            whole: whether to return the rows of all hosts, on each of them.

        Raises:
            ChannelNotInJobError: CR-CON-006. What reading raises is listed at `channels.modes.file.read_object`.
        """
        import polars as pl

        frames = [pl.DataFrame(schema=self.schema.polars_schema()), *self.batches(channel)]
        own = pl.concat(frames)
        return pl.concat(self.all_gather(own)) if whole else own

    def batches(self, channel: str = "train", columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows that `table` returns, in tables of up to 65,536 rows: memory does not grow with the channel.

        If there are several ranks, each must read to the end; the number of tables may differ.
        """
        return self._run.tables(self, channel, columns)

    def dataset(self, channel: str = "train") -> ChannelDataset:
        """Return this rank's rows of a channel as batches of tensors, equally many on each rank.

        The options of the trainer apply, and `features` if it is set. See `ChannelDataset` for uneven shards.
        """
        return self._run.dataset(self, channel)

    def all_gather(self, value: T) -> list[T]:
        """Return every rank's value, in the order of the ranks; all ranks must call it.

        Values are pickled, and every rank holds all of them: use it for small values.
        """
        return self._run.gather(value)

    def all_reduce(self, array: NDArray[Any], op: Literal["sum", "max", "min"] = "sum") -> NDArray[Any]:
        """Return the element-wise sum of an array over all ranks, or the largest or smallest; all ranks must call it.

        Args:
            array: numbers, of the same shape and type on each rank.
            op: what to do with them.
        """
        return self._run.reduce(array, op)

    def addresses(self) -> list[tuple[str, int]]:
        """Return an IP address of each rank and a port that is free there, in the order of the ranks; all must call it.

        For engines that connect the hosts themselves. Each call finds other ports.
        """
        return self._run.addresses()

    def log(self, **values: float) -> None:
        """Write a metric line; the last value of each name goes into the manifest.

        If there are several ranks, only the first one writes: the values should be the same on all ranks.

        Raises:
            ValueError: a name is not a letter or `_` followed by letters, digits and `_`.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self._run.final_metrics.update(numbers)
        if self.world is None or self.world.rank == 0:
            log_metrics(numbers)

    @property
    def stopping(self) -> bool:
        """Whether the job has been asked to end; a long hook may check it.

        With `distributed = True`, the ranks agree on it, so all of them must check it equally often.

        If an algorithm's own `fit` checks it, the first signal does not interrupt it: it should return soon, and then
        `save` is called. A `fit` that never checks it is ended, and nothing is saved.
        """
        return self._run.stops_cooperatively()

    @classmethod
    def has_own_fit(cls) -> bool:
        """Return whether the algorithm has its own `fit` and does not use the training loop for torch."""
        return cls.fit is not Trainer.fit

    @classmethod
    def check_declaration(cls, params: Hyperparameters) -> None:
        """Check what the subclass declares, before anything is started.

        Raises:
            TrainerDeclarationError: CR-TRN-005, all faults at once.
        """
        needed = {"schema": hasattr(cls, "schema")}
        if not cls.has_own_fit():
            needed |= {"model": cls.model is not Trainer.model, "loss": cls.loss is not Trainer.loss}
        else:
            needed = {"save": cls.save is not Trainer.save}
        check_options(
            cls, params, missing=[name for name, given in needed.items() if not given], own_fit=cls.has_own_fit()
        )
