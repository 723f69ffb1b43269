"""LightGBM by its own network of machines, with the same bins on all hosts.

By itself, each machine would find the bins of its share of the features from its own rows, so that a shard of a few
rows spoils the model, and an empty one fails. Here every rank makes the bins of all features from one sample of all
rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from cleanroom_algo.contract.manifest import LIGHTGBM_FILE
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
    import lightgbm

SAMPLE_ROWS = 200_000  # LightGBM's own default (bin_construct_sample_cnt)
_MEANS = re.compile("l1|l2|huber|fair|poisson|quantile|mape|gamma|tweedie|cross_entropy|(binary|multi)_(logloss|error)")
"""Metrics that are means over rows, so that the mean over all hosts follows from those of each."""


class LightGBMHyperparameters(BoostingHyperparameters):
    """Parameters of LightGBM by its names, with its defaults; None leaves one to it."""

    _synonyms: ClassVar[Mapping[str, str]] = {
        **BoostingHyperparameters._synonyms,
        "eta": "learning_rate",
        "min_child_samples": "min_data_in_leaf",
        "min_child_weight": "min_sum_hessian_in_leaf",
        "subsample": "bagging_fraction",
        "colsample_bytree": "feature_fraction",
        "reg_alpha": "lambda_l1",
        "reg_lambda": "lambda_l2",
        "random_state": "seed",
    }

    objective: str = "binary"
    """What is minimized: "regression", "multiclass" with `num_class`, "poisson" and so on."""
    metric: tuple[str, ...] = ()
    """Metrics of each round, of which the last decides on early stopping; by default the objective's."""
    num_class: int | None = Field(None, ge=2)
    """Classes of a "multiclass" objective; for a target of strings, by default the number of its labels."""
    learning_rate: float = Field(0.1, gt=0)
    num_leaves: int = Field(31, ge=2)
    max_depth: int = -1
    max_bin: int = Field(255, ge=2)
    min_data_in_leaf: int = Field(20, ge=0)
    min_sum_hessian_in_leaf: float = Field(1e-3, ge=0)
    feature_fraction: float = Field(1.0, gt=0, le=1)
    bagging_fraction: float = Field(1.0, gt=0, le=1)
    bagging_freq: int = Field(0, ge=0)
    lambda_l1: float = Field(0.0, ge=0)
    lambda_l2: float = Field(0.0, ge=0)
    scale_pos_weight: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)


class LightGBMTrainer(BoostingTrainer):
    """Trains LightGBM's trees on every host, each on its share of the rows; give it a schema with a target.

    Example:
        >>> class Delay(LightGBMTrainer):
        ...     schema = Schema.of(target="late", carrier="string", distance="float32?", late="bool")

    The artifacts hold `model.txt` in LightGBM's own format.
    """

    hyperparameters = LightGBMHyperparameters
    library = "lightgbm"
    grouped = ("lambdarank", "rank")
    _binary = ("binary",)
    _several = ("multiclass", "multiclassova")

    def labels(self) -> Mapping[str, Labels]:
        """Return the labels that objectives take, by the starts of their names."""
        return {
            "binary": Labels(0, 1, integers=True),
            "cross_entropy": Labels(0, 1),
            "multiclass": Labels(0, (self.params.num_class or 1) - 1, integers=True),
            "poisson": Labels(0),
            "tweedie": Labels(0),
            "gamma": Labels(0),
        }

    def boost(self, train: Rows, validation: Rows | None) -> None:
        """Train, and set `booster`."""
        import lightgbm

        assert self.world is not None
        params = self.params.of_library() | {"metric": list(self.params.metric), "verbosity": -1}
        bins = self._bins(train, params)
        matrix = self._dataset(self._never_empty(train), params, bins)
        watched = {"train": matrix}
        if validation is not None:
            watched["validation"] = self._dataset(validation, params, matrix)
        addresses = self.addresses()
        if self.world.size > 1:
            machines = ",".join(f"{host}:{port}" for host, port in addresses)
            params |= {"tree_learner": "data", "machines": machines}
            params["local_listen_port"] = addresses[self.world.rank][1]
        weight = float(len(train.labels) if train.weights is None else train.weights.sum())

        def end_round(env: lightgbm.callback.CallbackEnv) -> None:
            results: list[Any] = env.evaluation_result_list or []
            metrics = self._agreed(results, weight)
            higher_is_better = bool(results and results[-1][3])
            if self.end_round(env.iteration + 1, metrics, higher_is_better=higher_is_better):
                raise lightgbm.callback.EarlyStopException(env.iteration, [])

        try:
            self.booster = lightgbm.train(
                params,
                matrix,
                self.params.num_round,
                valid_sets=list(watched.values()),
                valid_names=list(watched),
                init_model=self._base_booster(),
                callbacks=[end_round],
            )
        except lightgbm.basic.LightGBMError as error:
            if not str(error).startswith("Binding port"):
                raise
            raise port_in_use("LightGBM", *addresses[self.world.rank]) from None
        self.booster.free_network()

    def save(self, directory: Path) -> None:
        """Write the model."""
        self.booster.save_model(directory / LIGHTGBM_FILE, num_iteration=self.rounds)

    def _base_booster(self) -> lightgbm.Booster | None:
        import lightgbm

        if self.base is None:
            return None
        path = self.base.file(LIGHTGBM_FILE)
        with damage_is_told(path.name):
            return lightgbm.Booster(model_file=path)

    def _bins(self, train: Rows, params: dict[str, Any]) -> lightgbm.Dataset | None:
        """Return a sample of the rows of all ranks, of which the same bins come on each; None where there is one."""
        assert self.world is not None
        if self.world.size == 1:
            return None
        rows = len(train.labels)
        share = min(1.0, SAMPLE_ROWS / self.all_reduce(np.array([rows]))[0])
        draw = np.random.default_rng([self.params.seed, self.world.rank])
        gathered = self.all_gather([batch[draw.random(len(batch)) < share] for batch in train.inputs])
        sample = [batch for batches in gathered for batch in batches if len(batch)]
        labels = np.zeros(sum(map(len, sample)), np.float32)
        return self._dataset(Rows(sample, labels, None), params, None).construct()

    def _never_empty(self, rows: Rows) -> Rows:
        """Return the rows, or one without a weight if there are none: LightGBM accepts no empty shard."""
        legal = self.all_reduce(np.array([rows.labels.max(initial=-np.inf)]), "max").astype(np.float32)
        if len(rows.labels):
            return rows
        return Rows([np.zeros((1, rows.inputs[0].shape[1]), np.float32)], legal, np.zeros(1, np.float32))

    def _dataset(self, rows: Rows, params: dict[str, Any], reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
        import lightgbm

        names, numbers = self.columns
        # What scores rows with the base model takes no list of batches.
        inputs: Any = rows.inputs if self.base is None else np.concatenate(rows.inputs)
        return lightgbm.Dataset(
            inputs,
            rows.labels,
            reference=reference,
            weight=rows.weights,
            feature_name=names,
            categorical_feature=list(range(numbers, len(names))),
            params=params,
        )

    def _agreed(self, results: list[Any], weight: float) -> dict[str, float]:
        """Return the metrics of a round by name; LightGBM takes those of the training rows of each host by itself."""
        assert self.world is not None
        values = {metric_name(data, name): (data, name, value) for data, name, value, *_ in results}
        if self.world.size == 1:
            return {key: value for key, (_, _, value) in values.items()}
        means = [key for key, (data, name, _) in values.items() if data == "train" and _MEANS.fullmatch(name)]
        sums = self.all_reduce(np.array([weight, *(values[key][2] * weight if weight else 0.0 for key in means)]))
        of_all = {key: value for key, (data, _, value) in values.items() if data != "train"}
        return dict(zip(means, (sums[1:] / sums[0]).tolist(), strict=True)) | of_all
