"""Private training, measured against Opacus alone, and what it refuses."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from cleanroom_algo import Batch, Features, Hyperparameters, Schema, Trainer
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import PrivateTrainingError, TrainerDeclarationError
from cleanroom_algo.testing import TrainerRun, run_trainer
from cleanroom_algo.training.artifacts.weights import read_safetensors
from tests.serving.support import free_port
from tests.training.ranks import run_jobs
from tests.training.support import Container

pytestmark = pytest.mark.skipif(find_spec("opacus") is None, reason="opacus is missing")

ROWS = 600
DELTA = 1e-4


class Params(Hyperparameters):
    epochs: int = 6
    batch_size: int = 60
    learning_rate: float = 0.05
    noise_multiplier: float | None = 0.8
    epsilon: float | None = None


class Late(Trainer):
    schema = Schema.of(target="late", person="int32", distance="float64", hour="float64", late="bool")
    hyperparameters = Params
    private = True
    delta = DELTA
    log_steps = 1000

    def fit_features(self) -> Features:
        return Features.declared(self.schema, numeric={"distance": (1000, 300), "hour": (12, 7)})

    def model(self) -> nn.Module:
        return network()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        assert batch.target is not None
        return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric).squeeze(1), batch.target)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


def flights(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    distance, hour = draw.normal(1000, 300, rows), draw.integers(0, 24, rows)
    return pl.DataFrame(
        {
            "person": pl.Series(draw.integers(0, rows // 4, rows), dtype=pl.Int32),
            "distance": distance,
            "hour": hour.astype(float),
            "late": (distance - 1000) / 300 + (hour - 12) / 7 > 0,
        }
    )


def accuracy(model: nn.Module) -> float:
    model.eval()
    table = flights(2000, seed=1)
    with torch.no_grad():
        return float(((model(inputs(table)).squeeze(1) > 0) == table["late"].to_torch()).float().mean())


def inputs(table: pl.DataFrame) -> Tensor:
    numbers = table.select((pl.col("distance") - 1000) / 300, (pl.col("hour") - 12) / 7)
    return numbers.to_torch().float()


def trained(run: TrainerRun) -> nn.Module:
    model = network()
    model.load_state_dict(read_safetensors(run.directory / "model.safetensors"))
    return model


def opacus_alone() -> tuple[float, nn.Module]:
    """Train with Opacus' own engine; return epsilon and the model."""
    from opacus import PrivacyEngine

    from cleanroom_algo.training.torch.privacy import ORDERS

    torch.manual_seed(0)
    table = flights()
    data = torch.utils.data.TensorDataset(inputs(table), table["late"].to_torch().float())
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and Opacus, about each other
        engine = PrivacyEngine(accountant="rdp")
        private, optimizer, loader = engine.make_private(
            module=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=0.05),
            data_loader=torch.utils.data.DataLoader(data, batch_size=60),
            noise_multiplier=0.8,
            max_grad_norm=1.0,
        )
        for _ in range(6):
            for numbers, late in loader:
                optimizer.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(private(numbers).squeeze(1), late).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return engine.accountant.get_epsilon(delta=DELTA, alphas=ORDERS), model


def test_accounts_and_learns_as_opacus_alone_does() -> None:
    run = run_trainer(Late, train=flights())
    epsilon, alone = opacus_alone()
    privacy = run.manifest.privacy
    assert privacy is not None
    assert privacy.epsilon == pytest.approx(epsilon, rel=1e-9)
    assert run.metrics == {"epsilon": privacy.epsilon, "delta": DELTA}
    assert abs(accuracy(trained(run)) - accuracy(alone)) < 0.06
    assert accuracy(alone) > 0.85


def test_counts_what_a_base_model_has_spent(capfd: pytest.CaptureFixture[str]) -> None:
    first = run_trainer(Late, train=flights(), hyperparameters={"epsilon": 2.0, "noise_multiplier": None, "epochs": 2})
    second = run_trainer(Late, train=flights(), base_model=first)
    spent, total = first.manifest.privacy, second.manifest.privacy
    assert spent is not None
    assert total is not None
    assert 1.97 < spent.epsilon <= 2.0  # the noise was found for it
    assert total.epsilon > spent.epsilon
    assert total.steps[:1] == spent.steps
    assert [each.steps for each in total.steps] == [20, 60]
    assert "train_loss" not in capfd.readouterr().out

    class OfPeople(Late):
        unit = "person"
        base_algorithms = ("Late",)

    with pytest.raises(PrivateTrainingError, match="protects another unit"):
        run_trainer(OfPeople, train=flights(), base_model=first)


def test_bounds_all_rows_of_a_unit_together() -> None:
    class OfPeople(Late):
        unit = "person"
        max_grad_norm = 0.01  # so that each unit's gradient has this length

        def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.SGD(model.parameters(), lr=1.0)

        def model(self) -> nn.Module:
            model = nn.Linear(2, 1)
            nn.init.zeros_(model.weight)
            nn.init.zeros_(model.bias)
            return model

    table = flights(40)
    run = run_trainer(OfPeople, train=table, hyperparameters={"epochs": 1, "batch_size": 40, "noise_multiplier": 1e-6})
    step = torch.zeros(3)
    errors = 0.5 - table["late"].to_torch().float()
    gradients = torch.cat([inputs(table), torch.ones(40, 1)], dim=1) * errors[:, None]
    people = table["person"].to_torch()
    persons = table["person"].unique().to_list()
    for person in persons:
        mean = gradients[people == person].mean(dim=0)
        step -= mean / mean.norm() * 0.01
    found = read_safetensors(run.directory / "model.safetensors")
    together = torch.cat([found["weight"].flatten(), found["bias"]])
    torch.testing.assert_close(together, step / len(persons), rtol=1e-3, atol=1e-5)


class PlainParams(Hyperparameters):
    pass


class WithBatchNorm(Late):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))


class WithFittedFeatures(Late):
    fit_features = Trainer.fit_features


class ComparesRows(Late):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        scores = model(batch.numeric).squeeze(1)
        apart: Tensor = (scores - scores.mean()).square().mean()
        return apart


class SumsRows(Late):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch) * batch.rows


class PunishesWeights(Late):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        weights: Tensor = torch.cat([value.flatten() for value in model.parameters()])
        return Late.loss(self, model, batch) + weights.square().sum()


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.layer = nn.Linear(2, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        self.get_buffer("seen").add_(numbers.sum())
        scores: Tensor = self.layer(numbers)
        return scores


class KeepsSums(Late):
    def model(self) -> nn.Module:
        return Counts()


class ReadsRows(Late):
    def fit_features(self) -> Features:
        mean = float(self.table().get_column("hour").to_numpy().mean())
        return Features.declared(self.schema, numeric={"hour": (mean, 7)})


class OptimizesTwice(Late):
    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(model.parameters())


class HasNoSuchUnit(Late):
    unit = "household"


class HasLargeDelta(Late):
    delta = 0.01


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        (WithBatchNorm, "1 layer"),
        (WithFittedFeatures, "features would be fitted"),
        (ComparesRows, "cannot be told from that of other rows"),
        (SumsRows, "cannot be told from that of other rows"),
        (PunishesWeights, "cannot be told from that of other rows"),
        (KeepsSums, "changes seen"),
        (ReadsRows, "a hook of ReadsRows reads channel 'train'"),
        (OptimizesTwice, "several times in a step"),
        (HasNoSuchUnit, "'household' is not a column"),
        (HasLargeDelta, "delta is 0.01, and there are 600 units"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_refuses_what_its_epsilon_would_not_cover(trainer: type[Trainer], told: str) -> None:
    with pytest.raises(PrivateTrainingError, match=told) as refused:
        run_trainer(trainer, train=flights())
    assert refused.value.fix


def test_refuses_private_validation_but_takes_a_public_one() -> None:
    class Public(Late):
        public_channels = ("validation",)

    with pytest.raises(PrivateTrainingError, match="'validation' is private"):
        run_trainer(Late, train=flights(), validation=flights(seed=1))
    run = run_trainer(Public, train=flights(), validation=flights(seed=1), hyperparameters={"epochs": 1})
    assert set(run.metrics) == {"epsilon", "delta", "validation_loss"}
    assert run.manifest.privacy is not None
    assert run.manifest.privacy.public_channels == ("validation",)


def test_refuses_a_base_model_that_was_not_private() -> None:
    class Plain(Late):
        private = False
        noise_multiplier = None
        hyperparameters = PlainParams  # type: ignore[assignment]

    class Tuned(Late):
        base_algorithms = ("Plain",)

    class TunedOnOthers(Tuned):
        base_data = "other"

    base = run_trainer(Plain, train=flights())
    with pytest.raises(PrivateTrainingError, match="was not trained privately"):
        run_trainer(Tuned, train=flights(), base_model=base)
    tuned = run_trainer(TunedOnOthers, train=flights(), base_model=base, hyperparameters={"epochs": 1})
    assert tuned.manifest.privacy is not None
    assert [each.steps for each in tuned.manifest.privacy.steps] == [10]


@pytest.mark.parametrize(
    ("name", "value"),
    [("patience", 2), ("keep", "best"), ("accumulate", 2), ("epsilon", 1.0), ("precision", "float16")],
)
def test_refuses_options_that_would_break_the_guarantee(name: str, value: object) -> None:
    kind: type[Trainer] = type(
        "Other", (Late,), {name: value, "hyperparameters": Hyperparameters, "noise_multiplier": 1.0}
    )
    with pytest.raises(TrainerDeclarationError) as refused:
        kind.check_declaration(Hyperparameters())
    assert f"Other.{'private' if name == 'epsilon' else name}" in str(refused.value)


def test_leaves_hyperparameters_of_the_same_name_to_others() -> None:
    class Own(Hyperparameters):
        epsilon: float = 1e-8
        delta: float = 2.0

    kind: type[Trainer] = type("Plain", (Late,), {"private": False, "delta": 0.5, "hyperparameters": Own})
    kind.check_declaration(Own())


def test_takes_no_noise_without_private() -> None:
    kind: type[Trainer] = type("Plain", (Late,), {"private": False, "hyperparameters": Hyperparameters, "epsilon": 1.0})
    with pytest.raises(TrainerDeclarationError, match="has no effect without private"):
        kind.check_declaration(Hyperparameters())


NOISE_ALONE = '''
import torch
from torch import nn
from cleanroom_algo import Features, Schema, Trainer


class Noise(Trainer):
    """Its gradients are zero, so that weights move by the noise alone."""

    schema = Schema.of(target="late", distance="float64", late="bool")
    private = True
    noise_multiplier = 2.0
    max_grad_norm = 0.5
    delta = 1e-3
    batch_size = 25
    epochs = 1

    def fit_features(self):
        return Features.declared(self.schema, numeric={"distance": (0, 1)})

    def model(self):
        model = nn.Linear(1, 20_000, bias=False)
        nn.init.zeros_(model.weight)
        return model

    def loss(self, model, batch):
        return (model(batch.numeric) * 0).sum(dim=1).mean()

    def optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=1.0)
'''


@pytest.mark.process
def test_ranks_add_the_noise_of_one(tmp_path: Path) -> None:
    algorithm = tmp_path / "noise.py"
    algorithm.write_text(NOISE_ALONE)
    names = ("algo-1", "algo-2")
    variables = {"CLEANROOM_ALGO_RENDEZVOUS": f"127.0.0.1:{free_port()}"}
    rows = {"algo-1": 70, "algo-2": 30}
    hosts = [
        Container(tmp_path / name, algorithm, hosts=names, current=name, variables=variables).channel(
            "train", {f"{name}.csv": "1.5,true\n" * rows[name]}, S3DistributionType="ShardedByS3Key"
        )
        for name in names
    ]
    pipe = Container(tmp_path / "pipe", algorithm).channel("train", {}, TrainingInputMode="Pipe")
    together, [refused] = run_jobs(hosts, [pipe], preload="opacus")
    assert [ended.status for ended in together] == [0, 0], together[0].err + together[1].err
    manifest = Manifest.read(hosts[0].model)
    assert manifest.privacy is not None
    [spent] = manifest.privacy.steps
    assert (spent.noise_multiplier, spent.sampling_rate, spent.steps) == (2.0, 0.5, 2)  # 100 rows, 2 x 25 in a step
    weights = read_safetensors(hosts[0].model / "model.safetensors")["weight"]
    expected = 2.0 * 0.5 / 50 * 2**0.5  # of two steps
    assert float(weights.std()) == pytest.approx(expected, rel=0.03)  # its own deviation is 0.5%
    assert refused.status == 3
    assert "in Pipe mode, and a stream cannot be sampled" in refused.err
