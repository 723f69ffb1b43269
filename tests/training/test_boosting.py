"""Boosted trees on several hosts: each row once, the same quality however uneven the shards are, and true endings."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import HyperparameterError, LabelError, NoDataError, TrainerDeclarationError
from cleanroom_algo.local import CleanRoom
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.boosting import BoostingPredictor, LightGBMPredictor, XGBoostPredictor
from cleanroom_algo.serving.scoring.prediction import answer
from cleanroom_algo.testing import load_predictor, predict, run_trainer
from cleanroom_algo.training.boosting.lightgbm import LightGBMTrainer
from cleanroom_algo.training.boosting.trainer import BoostingTrainer
from cleanroom_algo.training.boosting.xgboost import XGBoostTrainer
from examples.flight_delay.evaluation import area_under_curve
from tests.serving.support import free_port
from tests.training.ranks import run_jobs
from tests.training.support import Container, Ended, finish, listing, run_all, two_hosts, wait_for_line

BOTH = pytest.mark.parametrize("library", ["XGBoost", "LightGBM"])
PREDICTORS: dict[str, type[BoostingPredictor]] = {"XGBoost": XGBoostPredictor, "LightGBM": LightGBMPredictor}
FILES = {"XGBoost": "model.ubj", "LightGBM": "model.txt"}
ALGORITHM = """
import os
from cleanroom_algo import {library}Trainer, Schema


class Late({library}Trainer):
    schema = Schema.of(target="late", carrier="string?", distance="float64?", hour="int32", late="int32")
"""


HOLDS = """
    def addresses(self):
        import socket

        found = super().addresses()
        self.held = socket.create_server(found[self.world.rank])  # as another program could have done meanwhile
        return found
"""


NAMED = """
    schema = Schema.of(target="late", carrier="string?", distance="float64?", hour="int32", late="string")
"""
SEVERAL = {"XGBoost": "multi:softprob", "LightGBM": "multiclass"}


def algorithm(folder: Path, library: str, body: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "late_algorithm.py"
    path.write_text(ALGORITHM.format(library=library) + body)
    return path


def strange(folder: Path, name: str) -> Path:
    """Return a base model whose features fit, and whose model is of a version to come, or of another library."""
    folder.mkdir()
    schema = Schema.of(target="late", carrier="string?", distance="float64?", hour="int32", late="int32")
    (folder / "features.json").write_text(json.dumps(FeaturesFitter(schema, numeric=()).finish().to_dict()))
    (folder / name).write_text('{"version": [99, 0, 0]}' if name == "model.ubj" else "tree\nversion=v99\n")
    return folder


def csv_rows(count: int, seed: int) -> list[str]:
    """Return rows that are late by the carrier and by numbers that interact, with missing values."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        carrier, distance, hour = draw.choice(["AA", "B6", "DL", ""]), draw.gauss(1000, 300), draw.randrange(24)
        slope = 1 if carrier == "DL" else -1
        late = (distance - 1000) / 300 + slope * (hour - 12) / 8 + (carrier == "B6") + draw.gauss(0, 0.7) > 0.4
        lines.append(f"{carrier},{'' if draw.random() < 0.05 else f'{distance:.3f}'},{hour},{late:d}\n")
    return lines


def job(
    folder: Path,
    code: Path,
    parts: Sequence[Sequence[str]],
    hyperparameters: Mapping[str, str],
    *,
    validation: Sequence[str] = (),
    replicated: bool = False,
    base: Path | None = None,
    cap: str | None = None,
) -> list[Container]:
    """Return hosts, each with its own part of the training channel, or with all parts."""
    names = tuple(f"algo-{number}" for number in range(1, len(parts) + 1))
    variables = {} if base is None else {"CLEANROOM_TRAINING_BASE": str(base)}
    if len(parts) > 1:
        variables["CLEANROOM_ALGO_RENDEZVOUS"] = f"127.0.0.1:{free_port()}"
    if cap is not None:
        variables["CLEANROOM_ALGO_MAX_ARTIFACT_GB"] = cap
    hosts = []
    for name, part in zip(names, parts, strict=True):
        host = Container(folder / name, code, names, name, hyperparameters, variables=variables)
        held = [row for each in parts for row in each] if replicated else part
        files = {"a.csv": "".join(held)} if held else {}
        host.channel("train", files, S3DistributionType="FullyReplicated" if replicated else "ShardedByS3Key")
        if validation:
            host.channel("validation", {"v.csv": "".join(validation)})
        hosts.append(host)
    return hosts


def named_rows(labels: Sequence[str]) -> list[str]:
    """Return rows whose hour decides on the label."""
    hours = {"on time": 3, "late": 12, "cancelled": 20}
    return [f"AA,{number},{hours[label] + number % 3},{label}\n" for number in range(200) for label in labels]


def scores(library: str, model: Path, rows: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model predicts of rows, and the truth."""
    predictor = PREDICTORS[library]()
    predictor.artifacts = artifacts = Artifacts(model)
    predictor.load(artifacts)
    frame = pl.read_csv(
        "".join(rows).encode(), has_header=False, schema=artifacts.schema.polars_schema(), null_values=[""]
    )
    return answer(predictor, frame.drop("late"))["prediction"].to_numpy(), (frame["late"] == 1).to_numpy()


def weight_of_first_tree(library: str, model: Path) -> float:
    """Return how many rows, or how much of their hessians, the first tree was grown on."""
    if library == "LightGBM":
        import lightgbm

        tree = lightgbm.Booster(model_file=model / "model.txt").dump_model()["tree_info"][0]
        return float(tree["tree_structure"]["internal_count"])
    import xgboost

    (tree, *_) = xgboost.Booster(model_file=model / "model.ubj").get_dump(with_stats=True, dump_format="json")
    return float(json.loads(tree)["cover"])


@dataclass(frozen=True)
class Story:
    """Jobs of one library, which have run: the hosts of each, and how they ended."""

    library: str
    hosts: dict[str, list[Container]]
    ended: dict[str, list[Ended]]

    def model(self, job: str) -> Path:
        return self.hosts[job][0].model

    def quality(self, job: str, rows: Sequence[str]) -> float:
        return float(area_under_curve(*scores(self.library, self.model(job), rows)))

    def codes(self, job: str) -> list[str]:
        return [host.err.rsplit("CR-", 1)[-1][:7] for host in self.ended[job]]


@pytest.fixture(scope="module", params=["XGBoost", "LightGBM"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    library, folder = request.param, tmp_path_factory.mktemp("boosting")
    code = algorithm(folder, library)
    metric, objective = ("eval_metric", "reg:squarederror") if library == "XGBoost" else ("metric", "regression")
    rows, validation = csv_rows(4000, 1), csv_rows(200, 3)
    rounds, few = {"num_round": "20"}, {"num_round": "2"}
    stopping = {"num_round": "300", "early_stopping_rounds": "3", metric: '["auc"]'}
    two = job(folder / "two", code, [rows[:3999], rows[3999:]], rounds, validation=validation)
    base = two[0].model
    jobs = {
        "one": job(folder / "one", code, [rows], rounds, validation=validation),
        "two": two,
        "five": job(folder / "five", code, [rows[:1], [], rows[1:3000], rows[3000:], []], rounds),
        "replicated": job(folder / "replicated", code, [rows[:2000], rows[2000:]], rounds, replicated=True),
        "further": job(folder / "further", code, [csv_rows(3000, 4), []], {"num_round": "5"}, base=base),
        "stopping": job(folder / "stopping", code, [rows[:300], rows[:20]], stopping, validation=validation),
        "labels": job(folder / "labels", code, [rows[:50], ["AA,1000,12,3\n"]], few),
        "empty": job(folder / "empty", code, [[], []], few),
        "other": job(folder / "other", code, [rows[:50], rows[:50]], {"objective": objective}, base=base),
        "held": job(folder / "held", algorithm(folder / "holds", library, HOLDS), [rows[:50], rows[:50]], few),
        "large": job(folder / "large", code, [rows[:50], rows[:50]], few, cap="0.000001"),
        "named": job(
            folder / "named",
            algorithm(folder / "names", library, NAMED),
            [named_rows(["on time", "late"]), named_rows(["late", "cancelled"])],
            rounds | {"objective": SEVERAL[library]},
        ),
        "few": job(folder / "few", code, [[], [], ["WN,1000,12,1\n"]], few),
        "version": job(
            folder / "version", code, [rows[:50], rows[:50]], few, base=strange(folder / "newer", FILES[library])
        ),
        "library": job(
            folder / "library", code, [rows[:50], rows[:50]], few, base=strange(folder / "elsewhere", "model.pt")
        ),
    }
    ended = run_jobs(*jobs.values(), preload=library.lower())
    return Story(library, jobs, dict(zip(jobs, ended, strict=True)))


def test_shards_make_no_difference(story: Story) -> None:
    names = ("one", "two", "five", "replicated")
    assert [host.status for name in names for host in story.ended[name]] == [0] * 10, story.ended
    held_out = csv_rows(2000, 2)
    quality = [story.quality(name, held_out) for name in names]
    assert min(quality) > 0.9
    assert max(quality) - min(quality) < 0.005, quality
    seen = [weight_of_first_tree(story.library, story.model(name)) for name in names]
    assert seen == pytest.approx([seen[0]] * 4, rel=1e-3)  # each row once
    assert [bool(listing(host.model)) for host in story.hosts["five"]] == [True] + [False] * 4


def test_artifacts_are_the_librarys_own_with_manifest_and_features(story: Story) -> None:
    manifest = Manifest.read(story.model("two"))
    manifest.verify(story.model("two"))
    assert set(manifest.files) == {FILES[story.library], "features.json"}
    own = "xgboost" if story.library == "XGBoost" else "lightgbm"
    assert {own, "scikit-learn"} & {each.removesuffix("-cpu") for each in manifest.library_versions} == {own}
    metric = "logloss" if story.library == "XGBoost" else "binary_logloss"
    assert set(manifest.metrics) == {"round", f"train_{metric}", f"validation_{metric}"}


def test_a_base_model_is_boosted_further(story: Story) -> None:
    assert [host.status for host in story.ended["further"]] == [0, 0], story.ended["further"]
    assert story.ended["further"][0].metrics("round") == [21, 22, 23, 24, 25]
    base, longer = (trees(story.library, story.model(name)) for name in ("two", "further"))
    assert (len(longer), longer[:20]) == (25, base)
    held_out = csv_rows(2000, 2)
    assert story.quality("further", held_out) > story.quality("two", held_out) - 0.002


def test_early_stopping_keeps_the_best_rounds(story: Story) -> None:
    values = story.ended["stopping"][0].metrics("validation_auc")
    best = values.index(max(values)) + 1
    assert len(values) == best + 3 < 300
    assert len(trees(story.library, story.model("stopping"))) == best
    kept = Manifest.read(story.model("stopping")).metrics
    assert kept["round"] == best
    assert kept["validation_auc"] == pytest.approx(max(values))
    assert story.quality("stopping", csv_rows(200, 3)) == pytest.approx(max(values))


def test_what_cannot_be_trained_is_told_on_every_host(story: Story) -> None:
    expected = {"labels": "TRN-014", "empty": "TRN-010", "other": "BAS-003", "held": "TRN-004", "version": "BAS-006"}
    expected["library"] = "BAS-002"
    assert story.codes("large")[0] == "ART-003"
    assert not any(story.model("large").iterdir())
    assert {name: story.codes(name) for name in expected} == {name: [code] * 2 for name, code in expected.items()}


def test_fewer_rows_than_hosts_and_a_category_of_one_host_alone(story: Story) -> None:
    assert [host.status for host in story.ended["few"]] == [0, 0, 0], story.ended["few"]
    assert scores(story.library, story.model("few"), ["WN,1000,12,1\n"])[0] > 0.5


def test_labels_of_all_hosts_are_classes(story: Story) -> None:
    assert [host.status for host in story.ended["named"]] == [0, 0], story.ended["named"]
    rows = named_rows(["on time", "late", "cancelled"])
    found, _ = scores(story.library, story.model("named"), rows)
    assert found.tolist() == [row.rsplit(",", 1)[1].strip() for row in rows]


def trees(library: str, model: Path) -> Any:
    """Return the trees of a model as the library describes them."""
    if library == "LightGBM":
        import lightgbm

        found = lightgbm.Booster(model_file=model / "model.txt").dump_model()["tree_info"]
        return [tree["tree_structure"] for tree in found]
    import xgboost

    return xgboost.Booster(model_file=model / "model.ubj").get_dump()


@BOTH
def test_a_dead_host_ends_all_with_its_reason(tmp_path: Path, library: str) -> None:
    body = """
    def end_round(self, number, metrics, *, higher_is_better):
        if self.world.rank == 1 and number == 3:
            os.kill(os.getpid(), 9)
        return super().end_round(number, metrics, higher_is_better=higher_is_better)
"""
    code = algorithm(tmp_path, library, body)
    hosts = two_hosts(tmp_path, code, [{"a": "".join(csv_rows(500, seed))} for seed in (1, 2)])
    ended = run_all(hosts)
    assert [each.status for each in ended] == [1, 1], ended
    assert hosts[0].failure == hosts[1].failure
    assert hosts[0].failure.startswith("CR-TRN-002  rank 1 on algo-2 was ended by SIGKILL")
    assert not any(hosts[0].model.iterdir())


def test_sigterm_saves_the_rounds_so_far(tmp_path: Path) -> None:
    library = "XGBoost"
    code = algorithm(tmp_path, library)
    parts = [{"a": "".join(csv_rows(2000, seed))} for seed in (1, 2)]
    hosts = two_hosts(tmp_path, code, parts, num_round="100000")
    processes = [host.start() for host in hosts]
    wait_for_line(processes[0], "round=5 ")
    processes[1].send_signal(signal.SIGTERM)  # the hosts agree on it
    ended = [finish(process) for process in processes]
    assert [each.status for each in ended] == [143, 143], ended
    saved = Manifest.read(hosts[0].model).metrics["round"]
    assert ended[0].metrics("round")[-1:] in ([saved], [])
    assert len(trees(library, hosts[0].model)) == saved


@pytest.mark.unit
@BOTH
def test_weights_count_as_copies_of_rows_and_a_signal_keeps_the_rounds(library: str) -> None:
    trainer: type[BoostingTrainer] = {"XGBoost": XGBoostTrainer, "LightGBM": LightGBMTrainer}[library]

    class Weighted(trainer):  # type: ignore[misc, valid-type]
        schema = Schema.of(target="late", distance="float64", copies="float64", late="int32")
        weight = "copies"

        def end_round(self, number: int, metrics: dict[str, float], *, higher_is_better: bool) -> bool:
            if number == 7:
                self._run.stop.request()
            return bool(super().end_round(number, metrics, higher_is_better=higher_is_better))

    draw = np.random.default_rng(0)
    distance, copies = draw.normal(0, 1, 600).round(1), draw.integers(0, 4, 600)
    rows = pl.DataFrame({"distance": distance, "copies": copies, "late": (distance + draw.normal(0, 1, 600) > 0) + 0})
    copied = rows[np.repeat(np.arange(600), copies)].with_columns(copies=pl.lit(1))
    plain = {"min_data_in_leaf": 0} if library == "LightGBM" else {}
    models = [run_trainer(Weighted, train=each, hyperparameters=plain) for each in (rows, copied)]
    assert [model.metrics["round"] for model in models] == [7, 7]
    found = [predict(load_predictor(PREDICTORS[library], model), rows)["prediction"].to_numpy() for model in models]
    assert models[0].manifest.table_schema == models[1].manifest.table_schema
    np.testing.assert_allclose(found[0], found[1], atol=0.02)
    assert np.ptp(found[0]) > 0.5


def named(library: str, target: str = "string") -> type[BoostingTrainer]:
    trainer: type[BoostingTrainer] = {"XGBoost": XGBoostTrainer, "LightGBM": LightGBMTrainer}[library]
    return type("Named", (trainer,), {"schema": Schema.of(target="kind", x="float64", kind=target)})


def frame_of(labels: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([{"x": float(position), "kind": label} for position, label in enumerate(labels)] * 40)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("library", "objective", "labels"),
    [
        ("XGBoost", "binary:logistic", ["no", "yes"]),
        ("XGBoost", "binary:hinge", ["no", "yes"]),
        ("XGBoost", "multi:softmax", ["no", "yes"]),
        ("XGBoost", "multi:softmax", ["no", "perhaps", "yes"]),
        ("XGBoost", "multi:softprob", ["no", "perhaps", "yes"]),
        ("LightGBM", "binary", ["no", "yes"]),
        ("LightGBM", "multiclass", ["no", "yes"]),
        ("LightGBM", "multiclassova", ["no", "perhaps", "yes"]),
    ],
)
def test_strings_are_labels(library: str, objective: str, labels: list[str]) -> None:
    class Probabilities(PREDICTORS[library]):  # type: ignore[misc, valid-type]
        def postprocess(self, predictions: Any) -> Any:
            return predictions

    kind, frame = named(library), frame_of(labels)
    model = run_trainer(kind, train=frame, hyperparameters={"objective": objective, "num_round": 20})
    given = predict(load_predictor(PREDICTORS[library], model), frame)
    assert given["prediction"].to_list() == frame["kind"].to_list()
    further = run_trainer(kind, train=frame, hyperparameters={"objective": objective}, base_model=model)
    assert further.features.classes == tuple(labels)

    plain = predict(load_predictor(Probabilities, model), frame)
    if plain.width == len(labels):
        assert plain.to_numpy().argmax(axis=1).tolist() == list(range(len(labels))) * 40
    else:
        assert np.issubdtype(plain["prediction"].to_numpy().dtype, np.floating)


@pytest.mark.unit
@BOTH
def test_names_that_the_library_refuses_and_patience_in_vain(library: str, caplog: pytest.LogCaptureFixture) -> None:
    frame = frame_of(["no", "yes"]).rename({"x": "x[1]"}).with_columns(pl.lit(1.0).alias("x<1>"))
    types: dict[str, Any] = {"x[1]": "float64", "x<1>": "float64", "kind": "string"}
    schema = Schema.of(target="kind", **types)
    kind = type("Odd", (named(library),), {"schema": schema})
    other = frame.head(2)
    model = run_trainer(kind, train=frame, other=other, hyperparameters={"num_round": 20, "early_stopping_rounds": 1})
    given = predict(load_predictor(PREDICTORS[library], model), frame)
    assert given["prediction"].to_list() == frame["kind"].to_list()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "the training reads the channels train and validation, and not other",
        "early_stopping_rounds has no effect without a channel validation",
    ]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("library", "options", "labels", "what"),
    [
        ("XGBoost", {}, "abc", r"has 3 label\(s\).* 'binary:logistic' takes 2[^$]*set objective to \"multi:softprob\""),
        ("LightGBM", {}, "a", r"has 1 label\(s\).* 'binary' takes 2[^$]*check the query"),
        ("LightGBM", {"objective": "multiclass"}, "a", r"has 1 label\(s\).* 'multiclass' takes 2[^$]*check the query"),
        (
            "XGBoost",
            {"objective": "multi:softprob", "num_class": 4},
            "abc",
            r"has 3 label\(s\).* takes 4[^$]*set num_class to 3, or leave it out",
        ),
    ],
)
def test_a_wrong_number_of_labels_is_told(library: str, options: dict[str, object], labels: str, what: str) -> None:
    with pytest.raises(LabelError, match=what):
        run_trainer(named(library), train=frame_of(list(labels)), hyperparameters=options)


@pytest.mark.unit
def test_objectives_of_numbers_refuse_labels() -> None:
    for library, objective in (
        ("XGBoost", "reg:squarederror"),
        ("XGBoost", "binary:logitraw"),
        ("LightGBM", "regression"),
        ("LightGBM", "lambdarank"),
    ):
        with pytest.raises(TrainerDeclarationError, match="does not take a target of strings; binary"):
            run_trainer(named(library), train=frame_of(["a", "b"]), hyperparameters={"objective": objective})
    with pytest.raises(NoDataError):
        run_trainer(named("XGBoost"), train=frame_of([]).with_columns(x=pl.lit(0.0), kind=pl.lit("")).clear())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("library", "name", "meant"),
    [
        ("XGBoost", "n_estimators", "num_round"),
        ("LightGBM", "n_estimators", "num_round"),
        ("XGBoost", "learning_rate", "eta"),
        ("LightGBM", "eta", "learning_rate"),
        ("LightGBM", "max_dept", "max_depth"),
    ],
)
def test_other_names_of_hyperparameters_are_hinted_at(library: str, name: str, meant: str) -> None:
    with pytest.raises(HyperparameterError) as caught:
        named(library).hyperparameters.parse({name: "10"})
    assert str(caught.value.problems[0]) == f"{name}: is not a hyperparameter; did you mean {meant!r}?"


def test_a_server_answers_with_labels(clean_room: CleanRoom, tmp_path: Path) -> None:
    code = algorithm(tmp_path, "XGBoost", NAMED)
    code.write_text(
        code.read_text().replace("XGBoostTrainer, ", "XGBoostPredictor, XGBoostTrainer, ")
        + "\n\nclass LatePredictor(XGBoostPredictor):\n    pass\n"
    )
    parts = {f"{label}.csv": "".join(named_rows([label])) for label in ("on time", "late", "cancelled")}
    model = clean_room.train(
        code, train=parts, hosts=2, hyperparameters={"objective": "multi:softprob", "num_round": 5}
    )
    rows = pl.DataFrame({"carrier": ["AA"] * 3, "distance": [1.0] * 3, "hour": [3, 12, 20]})
    assert clean_room.infer(model, rows).predictions["prediction"].to_list() == ["on time", "late", "cancelled"]
