"""XGBoost by its own collective: the first rank runs the tracker at which all ranks meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from cleanroom_algo.contract.manifest import XGBOOST_FILE
from cleanroom_algo.training.artifacts.base_model import damage_is_told
from cleanroom_algo.training.boosting.trainer import (
    BoostingHyperparameters,
    BoostingTrainer,
    Labels,
    Rows,
    metric_name,
    port_in_use,
)

if TYPE_CHECKING:
    import xgboost

_HIGHER_IS_BETTER = ("auc", "aucpr", "pre", "interval_regression_accuracy")


class XGBoostHyperparameters(BoostingHyperparameters):
    """Parameters of XGBoost by its names, with its defaults; None leaves one to it."""

    _synonyms: ClassVar[Mapping[str, str]] = {
        **BoostingHyperparameters._synonyms,
        "learning_rate": "eta",
        "min_split_loss": "gamma",
        "lambda": "reg_lambda",
        "alpha": "reg_alpha",
        "random_state": "seed",
    }

    objective: str = "binary:logistic"
    """What is minimized: "reg:squarederror", "multi:softprob" with `num_class`, "count:poisson" and so on."""
    eval_metric: tuple[str, ...] = ()
    """Metrics of each round, of which the last decides on early stopping; by default the objective's."""
    num_class: int | None = Field(None, ge=2)
    """Classes of a "multi:" objective; for a target of strings, by default the number of its labels."""
    eta: float = Field(0.3, gt=0, le=1)
    max_depth: int = Field(6, ge=0)
    max_bin: int = Field(256, ge=2)
    min_child_weight: float = Field(1.0, ge=0)
    gamma: float = Field(0.0, ge=0)
    subsample: float = Field(1.0, gt=0, le=1)
    colsample_bytree: float = Field(1.0, gt=0, le=1)
    reg_lambda: float = Field(1.0, ge=0)
    reg_alpha: float = Field(0.0, ge=0)
    scale_pos_weight: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)


class XGBoostTrainer(BoostingTrainer):
    """Trains XGBoost's trees on every host, each on its share of the rows; give it a schema with a target.

    Example:
        >>> class Delay(XGBoostTrainer):
        ...     schema = Schema.of(target="late", carrier="string", distance="float32?", late="bool")

    The artifacts hold `model.ubj` in XGBoost's own format.
    """

    hyperparameters = XGBoostHyperparameters
    library = "xgboost"
    grouped = ("rank:",)
    _binary = ("binary:logistic", "binary:hinge")
    _several = ("multi:softprob", "multi:softmax")

    def labels(self) -> Mapping[str, Labels]:
        """Return the labels that objectives take, by the starts of their names."""
        return {
            "binary:": Labels(0, 1),
            "reg:logistic": Labels(0, 1),
            "multi:": Labels(0, (self.params.num_class or 1) - 1, integers=True),
            "count:": Labels(0),
            "reg:gamma": Labels(0),
            "reg:tweedie": Labels(0),
        }

    def boost(self, train: Rows, validation: Rows | None) -> None:
        """Train, and set `booster`."""
        import xgboost

        with self._collective():
            matrix = self._matrix(train, None)
            watched = [(matrix, "train")]
            if validation is not None:
                watched.append((self._matrix(validation, matrix), "validation"))
            params = self.params.of_library()
            metrics = params.pop("eval_metric")
            settings = [*params.items(), *(("eval_metric", name) for name in metrics)]
            self.booster = xgboost.Booster(settings, [each for each, _ in watched])
            if self.base is not None:
                path = self.base.file(XGBOOST_FILE)
                with damage_is_told(path.name):
                    self.booster.load_model(path)
                self.booster.set_param(settings)
            before = self.booster.num_boosted_rounds()
            for number in range(before, before + self.params.num_round):
                self.booster.update(matrix, number)
                found = _metrics(self.booster.eval_set(watched, number))
                decides = next(reversed(found)).partition("_")[2]
                if self.end_round(number + 1, found, higher_is_better=decides.startswith(_HIGHER_IS_BETTER)):
                    break

    def save(self, directory: Path) -> None:
        """Write the model."""
        self.booster[: self.rounds].save_model(directory / XGBOOST_FILE)

    def _matrix(self, rows: Rows, reference: xgboost.QuantileDMatrix | None) -> xgboost.QuantileDMatrix:
        """Return rows in bins; without a reference, all ranks find the bins together."""
        import xgboost

        names, numbers = self.columns
        fixed = {"feature_names": names, "feature_types": ["q"] * numbers + ["c"] * (len(names) - numbers)}

        class Batches(xgboost.DataIter):
            def reset(self) -> None:
                self.start, self.left = 0, list(rows.inputs)

            def next(self, input_data: Callable[..., Any]) -> bool:
                if not self.left:
                    return False
                batch = self.left.pop(0)
                own = slice(self.start, self.start + len(batch))
                self.start = own.stop
                weight = None if rows.weights is None else rows.weights[own]
                input_data(data=batch, label=rows.labels[own], weight=weight, **fixed)
                return True

        return xgboost.QuantileDMatrix(
            Batches(), ref=reference, max_bin=self.params.max_bin, enable_categorical=True, missing=np.nan
        )

    @contextmanager
    def _collective(self) -> Iterator[None]:
        assert self.world is not None
        if self.world.size == 1:
            yield
            return
        from xgboost import collective, config_context
        from xgboost.core import XGBoostError
        from xgboost.tracker import RabitTracker

        host, port = self.addresses()[0]
        tracker: RabitTracker | None = None
        arguments: dict[str, Any] = {}
        if self.world.rank == 0:
            with suppress(XGBoostError):
                tracker = RabitTracker(n_workers=self.world.size, host_ip=host, port=port, sortby="task")
                tracker.start()
                arguments = tracker.worker_args()
        arguments = self.all_gather(arguments)[0]
        if not arguments:
            raise port_in_use("XGBoost", host, port)
        with config_context(verbosity=0):  # it would write lines of its own into standard output
            collective.init(**arguments, dmlc_task_id=f"{self.world.rank:06}")
        yield
        collective.finalize()  # not after a failure, when it could wait for ranks that are gone
        if tracker is not None:
            tracker.wait_for()


def _metrics(line: str) -> dict[str, float]:
    """Return the metrics of a round from XGBoost's line, which is its number and words such as `validation-auc:0.6`."""
    pairs = (word.rpartition(":") for word in line.split()[1:])
    return {metric_name(*name.split("-", 1)): float(value) for name, _, value in pairs}
