"""scikit-learn on several hosts: merged naive Bayes is what one host fits, linear models predict as well.

Only tests import scikit-learn, which takes long, so that collecting them does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cleanroom_algo import Artifacts, Schema, SklearnPredictor, SklearnTrainer
from cleanroom_algo.channels.features import Features
from cleanroom_algo.contract.estimators import read_estimator
from cleanroom_algo.errors import (
    BaseModelMismatchError,
    BaseModelUnreadableError,
    LabelError,
    NoDataError,
    TrainerDeclarationError,
)
from cleanroom_algo.testing import load_predictor, predict, run_trainer
from cleanroom_algo.testing.trainers import TrainerRun
from tests.training.ranks import run_jobs
from tests.training.support import algorithm, listing, two_hosts

SCHEMA = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="int64")
ALGORITHM = """
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from cleanroom_algo import Hyperparameters, Schema, SklearnTrainer


class Knobs(Hyperparameters):
    kind: str
    epochs: int = 5


class Late(SklearnTrainer):
    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="int64")
    hyperparameters = Knobs

    def estimator(self):
        return GaussianNB() if self.params.kind == "bayes" else SGDClassifier(loss="log_loss", random_state=0)
"""


def rows(count: int, seed: int = 0, late: Any = None) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    distance, hour = draw.normal(1000, 300, count), draw.integers(0, 24, count)
    carrier = draw.choice(["AA", "B6", "DL"], count)
    found = (distance - 1000) / 300 + (hour - 12) / 8 + (carrier == "DL") + draw.normal(0, 0.5, count) > 0
    return pl.DataFrame(
        {"carrier": carrier, "distance": distance, "hour": hour, "late": found.astype(int) if late is None else late}
    )


def train(estimator: Any, frame: pl.DataFrame, kind: str = "int64", **more: Any) -> TrainerRun:
    class Late(SklearnTrainer):
        schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late=kind)
        epochs = 5

        def estimator(self) -> Any:
            return estimator

    return run_trainer(Late, train=frame, **more)


def inputs_of(run: TrainerRun, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    arrays = run.features.transform(frame)
    assert arrays.target is not None
    return run.features.design(arrays), arrays.target


def test_estimators_come_back_as_they_were_fitted() -> None:
    from sklearn.linear_model import Perceptron, SGDClassifier
    from sklearn.naive_bayes import BernoulliNB, GaussianNB

    frame, new = rows(9000), rows(300, seed=1)
    for estimator in (GaussianNB(), BernoulliNB(), SGDClassifier(loss="log_loss"), Perceptron()):
        run = train(estimator, frame, validation=new)
        assert run.files == ("estimator.safetensors", "features.json", "manifest.json")
        assert run.metrics["accuracy"] > 0.75
        assert run.metrics["validation_accuracy"] > 0.75
        inputs, _ = inputs_of(run, new)
        answered = predict(load_predictor(SklearnPredictor, run), new)["prediction"].to_numpy()
        if isinstance(estimator, Perceptron):
            assert np.array_equal(answered, estimator.predict(inputs))
        else:
            np.testing.assert_allclose(answered, estimator.predict_proba(inputs)[:, 1], rtol=1e-12)
            one = predict(load_predictor(SklearnPredictor, run), new[:1])["prediction"].to_numpy()
            assert np.array_equal(answered[:1], one)
        if isinstance(estimator, GaussianNB | BernoulliNB):  # read in parts, as if at once
            at_once = type(estimator)().fit(*inputs_of(run, frame))
            np.testing.assert_allclose(estimator.predict_proba(inputs), at_once.predict_proba(inputs), rtol=1e-6)


def test_other_targets() -> None:
    from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
    from sklearn.naive_bayes import GaussianNB

    frame = rows(3000)
    run = train(SGDRegressor(), frame.with_columns(late=pl.col("distance") / 100), "float64")
    assert run.metrics["mean_squared_error"] < 0.5
    assert predict(load_predictor(SklearnPredictor, run), frame[:2]).height == 2
    words = np.array(["never", "seldom", "often"])[(frame["hour"] // 8).to_numpy()]
    named = train(Perceptron(random_state=0), frame.with_columns(late=pl.Series(words)), "string")
    assert set(predict(load_predictor(SklearnPredictor, named), frame[:500])["prediction"]) <= set(words)
    three = train(SGDClassifier(loss="log_loss"), frame.with_columns(late=pl.Series(words)), "string")
    found = predict(load_predictor(SklearnPredictor, three), frame)["prediction"]
    assert (found.to_numpy() == words).mean() == pytest.approx(three.metrics["accuracy"])
    two = train(GaussianNB(), frame.with_columns(late=pl.Series(np.where(words == "often", "often", "not"))), "string")
    assert set(predict(load_predictor(SklearnPredictor, two), frame)["prediction"]) == {"not", "often"}


def test_probabilities_of_labels_have_the_order_of_the_classes() -> None:
    from sklearn.naive_bayes import GaussianNB

    class Declared(SklearnTrainer):
        schema = Schema.of(target="late", hour="int32", late="string")

        def fit_features(self) -> Features:
            return Features.declared(self.schema, numeric={"hour": (0, 1)}, classes=["a", "early", "late", "z"])

        def estimator(self) -> Any:
            return GaussianNB()

    class Probabilities(SklearnPredictor):
        def postprocess(self, predictions: Any) -> Any:
            return predictions

    frame = pl.DataFrame({"hour": [1, 2, 3, 21, 22, 23], "late": ["early"] * 3 + ["late"] * 3})
    run = run_trainer(Declared, train=frame)
    assert predict(load_predictor(SklearnPredictor, run), frame)["prediction"].to_list() == frame["late"].to_list()
    plain = predict(load_predictor(Probabilities, run), frame).to_numpy()
    assert plain.argmax(axis=1).tolist() == [1, 1, 1, 2, 2, 2]
    assert not plain[:, [0, 3]].any()


def test_training_goes_on_from_a_base_model() -> None:
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB

    first, second, new = rows(2000), rows(2000, seed=2), rows(300, seed=1)
    for estimator in (GaussianNB(), BernoulliNB()):
        base = train(estimator, first)
        both = train(type(estimator)(), second, base_model=base)
        inputs, _ = inputs_of(base, new)
        assert both.features == base.features  # those of the base model
        parts = [inputs_of(base, part) for part in (first, second)]
        at_once = type(estimator)().fit(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        found = read_estimator(both.directory / "estimator.safetensors")
        np.testing.assert_allclose(found.predict_proba(inputs), at_once.predict_proba(inputs), rtol=1e-6)
    with pytest.raises(BaseModelMismatchError):
        train(BernoulliNB(), rows(100, late=[5, 6] * 50), base_model=base)
    with pytest.raises(BaseModelMismatchError):
        train(MultinomialNB(), second, base_model=base)
    line = train(SGDClassifier(loss="log_loss", random_state=0), first)
    further = train(SGDClassifier(loss="log_loss", random_state=0), second, base_model=line)
    assert read_estimator(further.directory / "estimator.safetensors").t_ > 10_000


def test_what_cannot_be_trained() -> None:
    from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
    from sklearn.naive_bayes import GaussianNB

    for estimator, frame, error, what in (
        (LogisticRegression(), rows(10), TrainerDeclarationError, "LogisticRegression cannot be"),
        (SGDClassifier(average=True), rows(10), TrainerDeclarationError, "SGDClassifier with average cannot be"),
        (GaussianNB(), rows(0), NoDataError, "no rows: .* has at most a header"),
        (SGDRegressor(), rows(0), NoDataError, "no rows: .* has at most a header"),
        (GaussianNB(), rows(9, late=[1] * 9), LabelError, "only one label"),
    ):
        with pytest.raises(error, match=what):
            train(estimator, frame)
    with pytest.raises(TrainerDeclarationError, match="SGDRegressor predicts a number"):
        train(SGDRegressor(), rows(10).with_columns(late=pl.lit("x")), "string")


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "estimator.safetensors").write_bytes(b"cos\nsystem\n")
    with pytest.raises(BaseModelUnreadableError):
        read_estimator(tmp_path / "estimator.safetensors")


def test_uneven_hosts_fit_one_model(tmp_path: Path) -> None:
    from sklearn.naive_bayes import GaussianNB

    code = algorithm(tmp_path, "", ALGORITHM)
    frame, new = rows(3000), rows(1000, seed=1)
    head, tail = (each.write_csv(include_header=False) for each in (frame[:1], frame[1:]))
    bayes = two_hosts(tmp_path / "bayes", code, [{"a": head}, {"a": tail}], kind="bayes")
    line = two_hosts(tmp_path / "line", code, [{}, {"a": head + tail}], kind="line")
    ended = run_jobs(bayes, line, preload="sklearn.linear_model")
    assert [host.status for hosts in ended for host in hosts] == [0] * 4, ended
    assert [listing(hosts[1].model) for hosts in (bayes, line)] == [[], []]
    models = [*(Artifacts(hosts[0].model) for hosts in (bayes, line)), train(GaussianNB(), frame)]
    answers = [predict(load_predictor(SklearnPredictor, model), new)["prediction"] for model in models]
    for answer in answers:
        assert ((answer > 0.5) == (new["late"] == 1)).to_numpy().mean() > 0.8
    np.testing.assert_allclose(answers[0], answers[2], rtol=1e-6)
    assert "scikit-learn" in models[0].manifest.library_versions
    assert models[0].manifest.metrics["accuracy"] == models[2].manifest.metrics["accuracy"]
