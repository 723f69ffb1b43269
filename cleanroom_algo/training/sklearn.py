"""scikit-learn on every host: linear models by averaging, naive Bayes by merging the counts of the hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.contract.estimators import ESTIMATOR_FILE, FITTED, read_estimator, write_estimator
from cleanroom_algo.errors import BaseModelMismatchError, LabelError, TrainerDeclarationError
from cleanroom_algo.training.trainer import Trainer

Floats = NDArray[np.float64]
_ROWS = 8192  # rows of one call: a row may have thousands of one-hot columns


class SklearnTrainer(Trainer):
    """Trains an estimator of scikit-learn on all hosts, each on its share of the rows, in memory of a fixed size.

    Example:
        >>> class Rain(SklearnTrainer):
        ...     schema = Schema.of(target="rain", humid="float32?", rain="bool")
        ...
        ...     def estimator(self):
        ...         return SGDClassifier(loss="log_loss")

    SGDClassifier, SGDRegressor and Perceptron take `epochs` passes; after each, the hosts average their coefficients,
    weighted by their rows. GaussianNB, MultinomialNB and BernoulliNB take one pass, and become what one host would have
    fitted on all rows. The inputs are `Features.design`: the standardized numbers and the one-hot categories.
    """

    distributed = True
    logged_names = ("epoch", "accuracy", "validation_accuracy", "mean_squared_error", "validation_mean_squared_error")

    def estimator(self) -> Any:
        """Return the estimator with its parameters, not fitted; the same on every host."""
        raise NotImplementedError

    def fit(self) -> None:
        """Train; then log the accuracy, or the mean squared error of a regression, over the rows of all hosts."""
        self._run.tell_unread()
        self.features = self.fit_features()
        self.estimator_ = self.estimator()
        name = type(self.estimator_).__name__
        self._check_kind(name)
        self._classes = None if name == "SGDRegressor" else self._find_classes()
        base = self._base_estimator()
        if name == "GaussianNB":
            self._merge_moments(base)
        elif name.endswith("NB"):
            self._add_counts(base)
        else:
            self._average(base)
        self._score("train", "")
        if "validation" in self.environment.channels:
            self._score("validation", "validation_")

    def save(self, directory: Path) -> None:
        """Write the estimator."""
        write_estimator(self.estimator_, directory / ESTIMATOR_FILE)

    def _check_kind(self, name: str) -> None:
        """Check that averaging or merging gives a correct model, and that the target suits it.

        Raises:
            TrainerDeclarationError: CR-TRN-005, it does not.
        """
        if name == "SGDRegressor" and self.features.classes:
            raise TrainerDeclarationError(
                f"SGDRegressor predicts a number, but the target {self.schema.target!r} is of strings",
                expected="a numeric target for a regression, or a classifier",
                fix="return SGDClassifier from `estimator`, or declare a numeric target",
            )
        options = self.estimator_.get_params()
        unsound = [each for each in ("average", "early_stopping") if options.get(each)]
        if name not in FITTED or unsound:
            raise TrainerDeclarationError(
                f"{name}{f' with {unsound[0]}' if unsound else ''} cannot be trained on several hosts",
                expected=f"one of {', '.join(FITTED)}, without `average` and `early_stopping`",
                fix="return one of them from `estimator`, or write a `fit` of your own (docs/guides/not-torch.md)",
            )

    def _find_classes(self) -> NDArray[Any]:
        """Return the labels that occur on any host, sorted.

        Raises:
            LabelError: CR-TRN-014, there are fewer than two. NoDataError: CR-TRN-010.
        """
        target = self.schema.target
        tables = self.batches(columns=None if target is None else [target])
        found: list[NDArray[Any]] = [np.unique(self._target(table)) for table in tables]
        all_found = [each for part in self.all_gather(found) for each in part]
        classes = np.unique(np.concatenate(all_found)) if all_found else np.empty(0)
        if not len(classes):
            raise self._run.no_rows("train")
        if len(classes) < 2:
            raise LabelError(
                "the target has only one label on all hosts together",
                expected="two labels or more",
                fix="check the query of the ML input channel",
            )
        return classes

    def _base_estimator(self) -> Any:
        """Return the fitted estimator of the base model, or None; its labels become those of this job.

        Raises:
            BaseModelMismatchError: CR-BAS-003, it is of another class, or rows have other labels.
        """
        if self.base is None:
            return None
        base = read_estimator(self.base.file(ESTIMATOR_FILE))
        known = True
        if self._classes is not None:
            known = bool(np.isin(self._classes, labels := np.asarray(getattr(base, "classes_", []))).all())
            self._classes = labels
        if type(base) is not type(self.estimator_) or not known:
            raise BaseModelMismatchError(
                "the base model has another estimator, or rows have labels that it does not know",
                expected=f"a base model of {type(self.estimator_).__name__}, and rows with its labels",
                fix="return the base model's estimator, choose rows with its labels, or train without a base model",
            )
        return base

    def _average(self, base: Any) -> None:
        """Train a linear model: in each epoch, all hosts start from the same coefficients."""
        model, rows = self.estimator_, np.zeros(1)
        self._start_linear(base)
        for epoch in range(1, self._run.options.epochs + 1):
            rows[0] = 0
            for inputs, target in self._parts("train"):
                model.partial_fit(inputs, target)
                rows += len(target)
            total = self.all_reduce(rows)[0]
            if not total:
                raise self._run.no_rows("train")
            state = np.concatenate([model.coef_.ravel(), model.intercept_, [model.t_]])
            state = self.all_reduce(state * rows) / total
            size = model.coef_.size
            model.coef_ = state[:size].reshape(model.coef_.shape)
            model.intercept_, model.t_ = state[size:-1].copy(), float(state[-1])
            self.log(epoch=epoch)
            if self.stopping:
                return

    def _start_linear(self, base: Any) -> None:
        model, width = self.estimator_, self.features.design_size
        outputs = 1 if self._classes is None or len(self._classes) == 2 else len(self._classes)
        model.coef_ = np.zeros(width if self._classes is None else (outputs, width))
        model.intercept_, model.t_ = np.zeros(outputs), 1.0
        if self._classes is not None:
            model.classes_ = self._classes
        if base is not None:
            model.coef_, model.intercept_, model.t_ = base.coef_, base.intercept_, base.t_

    def _add_counts(self, base: Any) -> None:
        """Fit naive Bayes on counts, which can be added."""
        assert self.world is not None
        model, classes, nothing = self.estimator_, self._classes, np.zeros((1, self.features.design_size))
        assert classes is not None

        def update() -> None:  # a row of almost no weight: counts stay, the rest is computed from them
            model.partial_fit(nothing, classes[:1], classes, sample_weight=[np.finfo(float).tiny])

        update()
        if base is not None and self.world.rank == 0:
            model.feature_count_, model.class_count_ = base.feature_count_, base.class_count_
        for inputs, target in self._parts("train"):
            model.partial_fit(inputs, target)
        model.feature_count_ = self.all_reduce(model.feature_count_)
        model.class_count_ = self.all_reduce(model.class_count_)
        update()

    def _merge_moments(self, base: Any) -> None:
        """Fit GaussianNB by the means and variances of each class, which can be merged."""
        assert self._classes is not None
        model, shape = self.estimator_, (len(self._classes), self.features.design_size)
        own = _Moments(np.zeros(shape[0]), np.zeros(shape), np.zeros(shape))
        for inputs, target in self._parts("train"):
            for number, label in enumerate(self._classes):
                own = own.with_rows(number, inputs[target == label])
        states = self.all_gather(own)
        if base is not None:
            states.insert(
                0, _Moments(base.class_count_, base.theta_, (base.var_ - base.epsilon_) * base.class_count_[:, None])
            )
        merged = states[0]
        for state in states[1:]:
            merged = merged.merge(state)
        counts, model.theta_, squares = merged
        total = counts.sum()
        center = (counts[:, None] * model.theta_).sum(axis=0) / total
        whole = (squares + counts[:, None] * (model.theta_ - center) ** 2).sum(axis=0) / total
        model.epsilon_ = model.var_smoothing * whole.max()
        model.var_ = squares / np.maximum(counts, 1)[:, None] + model.epsilon_
        model.class_count_, model.classes_, model.n_features_in_ = counts, self._classes, shape[1]
        model.class_prior_ = counts / total if model.priors is None else np.asarray(model.priors)

    def _score(self, channel: str, prefix: str) -> None:
        """Log how well the model fits the rows of a channel."""
        sums = np.zeros(2)
        for inputs, target in self._parts(channel):
            predicted = self.estimator_.predict(inputs)
            sums += len(target), ((predicted - target) ** 2 if self._classes is None else predicted == target).sum()
        rows, good = self.all_reduce(sums)
        if rows:
            self.log(**{prefix + ("mean_squared_error" if self._classes is None else "accuracy"): good / rows})

    def _parts(self, channel: str) -> Iterator[tuple[Floats, NDArray[Any]]]:
        """Yield inputs, axes (row, column), and targets, axis (row,), of this host's rows."""
        for table in self.batches(channel):
            for start in range(0, table.height, _ROWS):
                part = table[start : start + _ROWS]
                yield self.features.design(self.features.transform(part)), self._target(part)

    def _target(self, table: Any) -> NDArray[Any]:
        found = self.features.target(table)
        assert found is not None
        return found


class _Moments(NamedTuple):
    """For the rows of each class: their number, their means, and their sums of squared deviations from the means."""

    counts: Floats
    means: Floats
    squares: Floats

    def with_rows(self, number: int, rows: Floats) -> _Moments:
        """Return the moments with further rows of a class."""
        if not len(rows):
            return self
        further = _Moments(*(np.zeros_like(each) for each in self))
        further.counts[number], further.means[number] = len(rows), rows.mean(axis=0)
        further.squares[number] = ((rows - further.means[number]) ** 2).sum(axis=0)
        return self.merge(further)

    def merge(self, other: _Moments) -> _Moments:
        """Return the moments of the rows of both (Chan, Golub and LeVeque, 1979)."""
        counts = self.counts + other.counts
        share = (other.counts / np.maximum(counts, 1))[:, None]
        distance = other.means - self.means
        squares = self.squares + other.squares + distance**2 * self.counts[:, None] * share
        return _Moments(counts, self.means + distance * share, squares)
