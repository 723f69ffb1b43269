"""What the Trainers of boosted trees share: rows as arrays, labels that are checked, rounds that are agreed on."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from cleanroom_algo.channels.features import Features, NumericFeature
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.manifest import FEATURES_FILE
from cleanroom_algo.errors import (
    BaseModelMismatchError,
    LabelError,
    MissingLibraryError,
    Problem,
    RendezvousError,
    TrainerDeclarationError,
)
from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)

_ROUNDS = dict.fromkeys(("n_estimators", "num_boost_round", "num_iterations", "nrounds", "num_trees"), "num_round")


_REFUSED = re.compile(r'[][{}",:<>]')


class BoostingHyperparameters(Hyperparameters):
    """What the training itself takes; all other fields are parameters of the library, by their names there.

    Subclass it to change a default, or to add a parameter of the library as a field.
    """

    _synonyms: ClassVar[Mapping[str, str]] = _ROUNDS

    num_round: int = Field(100, ge=1)
    """Rounds of boosting, which come on top of those of the base model, if any."""
    early_stopping_rounds: int | None = Field(None, ge=1)
    """Rounds without a better validation metric after which training ends; the rounds up to the best are kept."""

    def of_library(self) -> dict[str, Any]:
        """Return the parameters of the library; those that are None are left to it."""
        return self.model_dump(exclude={"num_round", "early_stopping_rounds"}, exclude_none=True)


class Labels(NamedTuple):
    """The labels that an objective takes.

    Attributes:
        lowest: of them.
        highest: of them.
        integers: whether all are whole numbers.
    """

    lowest: float = -math.inf
    highest: float = math.inf
    integers: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a library takes them, in the batches in which they were read; at least one, which may be empty.

    Attributes:
        inputs: of each batch, axes (row, feature).
        labels: of all rows, axis (row,).
        weights: the same; None: all are 1.
    """

    inputs: list[NDArray[np.float32]]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32] | None


def metric_name(rows: str, name: str) -> str:
    """Return the name of a library's metric in a metric line, such as `validation_error_0_7` of `error@0.7`."""
    return re.sub(r"\W", "_", f"{rows}_{name}")


def port_in_use(library: str, host: str, port: int) -> RendezvousError:
    """Return the error of a library that cannot connect the hosts, as another program has taken the port."""
    return RendezvousError(
        f"{library} cannot use port {port} of {host}",
        expected="a port that is still free, as when it was chosen",
        fix="train again; each job chooses new ports",
    )


class BoostingTrainer(Trainer):
    """Trains boosted trees on every host, each on its share of the rows.

    Strings are categories, and missing values stay missing; the library has its own ways with both. Each round writes a
    metric line. The rows of a validation channel are held by every host, so that its metrics are those of all rows.
    """

    distributed = True
    hyperparameters = BoostingHyperparameters
    weight: ClassVar[str | None] = None
    """A column of numbers with the weights of the rows; it is not a feature."""
    library: ClassVar[str]
    """The module that trains; the extra of this package that installs it has the same name."""
    grouped: ClassVar[tuple[str, ...]]
    """The starts of names of objectives that need groups of rows, which a table does not have."""
    _binary: ClassVar[tuple[str, ...]]
    """Objectives that take two labels of a target of strings."""
    _several: ClassVar[tuple[str, ...]]
    """Objectives that take two or more labels of a target of strings."""

    rounds: int
    """Those that are saved, the base model's included."""

    def boost(self, train: Rows, validation: Rows | None) -> None:
        """Train by the library, calling `end_round` after each round."""
        raise NotImplementedError

    def labels(self) -> Mapping[str, Labels]:
        """Return the labels that objectives take, by the starts of their names; all others take any number."""
        raise NotImplementedError

    def fit(self) -> None:
        """Read the rows, check the labels, and train."""
        self._run.tell_unread()
        self.features = self.fit_features()
        self._count_classes()
        self._best: tuple[float, int, dict[str, float]] | None = None
        train = self._rows(self.batches())
        self._check(train, "train")
        validation = None
        if "validation" in self.environment.channels:
            validation = self._rows([self.table("validation", whole=True)])
            self._check(validation, "validation")
        elif self.params.early_stopping_rounds is not None:
            log.warning("early_stopping_rounds has no effect without a channel validation")
        self._check_base()
        self.boost(train, validation)

    def fit_features(self) -> Features:
        """Return the numbers as they are, and the vocabularies of strings: the base model's, or those of all rows."""
        names = [column.name for column in self.schema.features if not column.spans]
        plain = tuple(NumericFeature(name) for name in names if name != self.weight)
        if not any(column.is_string for column in self.schema.columns):
            return Features(self.schema, plain)
        if self.base is not None:
            self.base.file(FEATURES_FILE)  # with another vocabulary, a category would be another one
        fitted = self._run.fit_features(self, numeric=())
        return Features(self.schema, plain, fitted.categorical, fitted.classes)

    def end_round(self, number: int, metrics: dict[str, float], *, higher_is_better: bool) -> bool:
        """Log the metrics of a round; return whether training ends with it, on which all ranks agree.

        Args:
            number: of the round, from 1, those of the base model counted.
            metrics: by name, `train_...` and `validation_...`; the last one decides.
            higher_is_better: of the last one.
        """
        assert self.world is not None
        self.log(round=number, **metrics)
        patience = self.params.early_stopping_rounds
        name = next(reversed(metrics), "")
        if patience is not None and name.startswith("validation_"):
            gain = metrics[name] if higher_is_better else -metrics[name]
            if self._best is None or gain > self._best[0]:
                self._best = gain, number, metrics
        self.rounds = number
        if self._best is not None:
            _, self.rounds, kept = self._best
            self._run.final_metrics.update(round=self.rounds, **kept)  # those of the model that is saved
        # The first rank decides for all: the last bits of a metric may differ from host to host.
        done = self.world.rank == 0 and patience is not None and number - self.rounds >= patience
        return self._run.stops_cooperatively(done=done)

    @classmethod
    def check_declaration(cls, params: Hyperparameters) -> None:
        """Check what the subclass declares, before anything is started.

        Raises:
            TrainerDeclarationError: CR-TRN-005; MissingLibraryError: CR-TRN-015.
        """
        super().check_declaration(params)
        problems = list(cls._faults(params))
        if problems:
            raise TrainerDeclarationError(
                f"{len(problems)} part(s) of {cls.__name__} cannot be used",
                expected=f"a target, and options that {cls.library} accepts",
                fix="correct the following parts of the class",
                problems=problems,
            )
        try:
            import_module(cls.library)
        except (ImportError, OSError) as error:  # OSError: a library of the system is not there
            raise MissingLibraryError(
                f"{cls.library} cannot be imported ({type(error).__name__})",
                expected=f"{cls.library} and the system's libgomp1, which it needs",
                fix=f'pip install "cleanroom-algo[{cls.library}]"; for an image, name them in requirements.txt and '
                "apt.txt beside the algorithm",
            ) from error

    @classmethod
    def _faults(cls, params: Hyperparameters) -> Iterator[Problem]:
        if not isinstance(params, BoostingHyperparameters):
            yield Problem("hyperparameters", "is not a subclass of the hyperparameters of the base class")
            return
        columns = {column.name: column for column in cls.schema.columns}
        objective = str(params.of_library().get("objective"))
        if cls.schema.target is None or columns[cls.schema.target].is_list:
            yield Problem("schema.target", "is not a column of numbers, Booleans or strings")
        elif columns[cls.schema.target].is_string and objective not in (*cls._binary, *cls._several):
            usable = ", ".join((*cls._binary, *cls._several))
            yield Problem("objective", f"does not take a target of strings; {usable} do")
        if cls.weight is not None and (cls.weight not in columns or columns[cls.weight].spans):
            yield Problem("weight", "is not a numeric column")
        if objective.startswith(cls.grouped):
            yield Problem("objective", "needs groups of rows, which a table does not have")

    @property
    def columns(self) -> tuple[list[str], int]:
        """The names of the columns of `Rows.inputs` for the library, and how many are numbers; categories follow.

        The libraries refuse some characters: those of JSON, and "<".
        """
        names = [f.name for f in self.features.numeric] + [f.name for f in self.features.categorical]
        plain = [_REFUSED.sub("_", name) for name in names]
        twice = {name for name, count in Counter(plain).items() if count > 1}
        shown = [f"{name}_{place}" if name in twice else name for place, name in enumerate(plain)]
        return shown, len(self.features.numeric)

    def _rows(self, tables: Iterable[pl.DataFrame]) -> Rows:
        inputs, labels, weights = [], [], []
        for table in tables:
            inputs.append(self.features.matrix(table))
            labels.append(np.asarray(self.features.target(table), dtype=np.float32))
            if self.weight is not None:
                weights.append(table.get_column(self.weight).to_numpy().astype(np.float32))
        if not inputs:
            return self._rows([pl.DataFrame(schema=self.schema.polars_schema())])
        return Rows(inputs, np.concatenate(labels), np.concatenate(weights) if weights else None)

    def _count_classes(self) -> None:
        """Set `num_class` to the number of labels of a target of strings, unless it is set.

        Raises:
            LabelError: CR-TRN-014, the objective takes another number of labels.
        """
        found = len(self.features.classes)
        if not found:
            return
        values = self.params.of_library()
        objective, given = values.get("objective"), values.get("num_class")
        if objective not in self._several:
            takes, fix = 2, f'set objective to "{self._several[0]}"'
        else:
            takes, fix = given or max(found, 2), f"set num_class to {found}, or leave it out"
        if found != takes:
            raise LabelError(
                f"the target {self.schema.target!r} has {found} label(s) on all hosts together, but objective "
                f"{objective!r} takes {takes}",
                expected="as many labels as the objective takes",
                fix=fix if found > 1 else "check the query of the ML input channel: a model needs two labels or more",
            )
        if objective in self._several:
            self.params = self.params.model_copy(update={"num_class": found})

    def _check_base(self) -> None:
        """Check that the base model was trained to the same end.

        Raises:
            BaseModelMismatchError: CR-BAS-003.
        """
        if self.base is None or self.base.manifest is None:
            return
        own, theirs = self.params.effective(), self.base.manifest.hyperparameters
        # The labels of a target of strings are the base model's, so that their number is, too.
        names = ["objective"] if self.features.classes else ["objective", "num_class"]
        differing = [name for name in names if theirs.get(name) not in (None, own.get(name))]
        if differing:
            raise BaseModelMismatchError(
                f"{' and '.join(differing)} of the base model and of this job differ",
                expected="the objective of the base model, because new trees are added to its trees",
                fix="use the hyperparameters of the base model, or train without a base model",
            )

    def _check(self, rows: Rows, channel: str) -> None:
        """Check the labels and weights of all hosts, on each of them.

        Raises:
            NoDataError: CR-TRN-010; LabelError: CR-TRN-014.
        """
        objective = str(self.params.of_library().get("objective"))
        known = self.labels().items()
        allowed = next((labels for start, labels in known if objective.startswith(start)), Labels())
        labels, weights = rows.labels, np.ones(1) if rows.weights is None else rows.weights
        wrong = (labels < allowed.lowest) | (labels > allowed.highest) | ~np.isfinite(labels)
        if allowed.integers:
            wrong |= labels != np.floor(labels)
        unusable = ~(np.isfinite(weights) & (weights >= 0))
        count, faults, weightless = self.all_reduce(np.array([len(labels), wrong.sum(), unusable.sum()])).tolist()
        if not count:
            raise self._run.no_rows(channel)
        if faults or weightless:
            kind = "whole numbers" if allowed.integers else "numbers"
            raise LabelError(
                f"channel {channel!r} has {faults} label(s) and {weightless} weight(s) that cannot be used",
                expected=f"labels that are {kind} from {allowed.lowest:g} to {allowed.highest:g}, as the objective "
                "requires, and weights of at least 0",
                fix="choose another objective, set num_class, or leave these rows out",
            )
