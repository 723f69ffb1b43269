"""Is a flight late? A model of Lightning, trained by Lightning's own Trainer on every host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cleanroom_algo import Arrays, Artifacts, Batch, Predictor, Schema, Trainer


class Net(lightning.LightningModule):  # type: ignore[misc]
    """A small network over numbers."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(numbers, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, numeric: Tensor) -> Tensor:
        """Return log-odds, shape (rows,)."""
        log_odds: Tensor = self.layers(numeric).squeeze(1)
        return log_odds

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return this rank's part of the mean loss over the rows of all ranks: its batch may have no row."""
        assert batch.target is not None
        rows: Tensor = self.trainer.strategy.reduce(torch.tensor(float(batch.rows)), reduce_op="sum")
        loss = nn.functional.binary_cross_entropy_with_logits(self(batch.numeric), batch.target, reduction="sum")
        return loss * int(self.trainer.world_size) / rows  # DDP takes the mean over ranks

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=0.01)


class Delay(Trainer):
    """One rank on each host: Lightning finds the process group of this library's launcher, and uses it."""

    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="bool")
    distributed = True
    batch_size = 64
    logged_names = ("loss",)

    def fit(self) -> None:
        """Train; Lightning writes neither logs nor checkpoints of its own."""
        assert self.world is not None
        self.features = self.fit_features()
        torch.manual_seed(0)
        self.net = Net(self.features.numeric_size)
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            num_nodes=self.world.size,
            strategy="ddp" if self.world.size > 1 else "auto",
            max_epochs=10,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the dataset has this rank's rows already
            callbacks=[_Tell(self)],
        )
        trainer.fit(self.net, DataLoader(self.dataset(), batch_size=None))

    def save(self, directory: Path) -> None:
        """Write the weights."""
        save_file(self.net.state_dict(), directory / "model.safetensors")


class _Tell(lightning.Callback):  # type: ignore[misc]
    """Writes the loss of each epoch as a metric line, on the first rank alone, and ends when the job shall."""

    def __init__(self, algorithm: Delay) -> None:
        self.algorithm = algorithm

    def on_train_epoch_end(self, trainer: Any, _: Any) -> None:
        self.algorithm.log(loss=float(trainer.callback_metrics.get("loss", 0)))
        trainer.should_stop |= self.algorithm.stopping


class DelayPredictor(Predictor):
    """Answers with the probability that a flight is late."""

    def load(self, artifacts: Artifacts) -> None:
        """Read the weights."""
        self.net = Net(artifacts.features.numeric_size)
        self.net.load_state_dict(artifacts.state_dict())
        self.net.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return probabilities, shape (rows,)."""
        return self.forward(lambda numeric: torch.sigmoid(self.net(numeric)), arrays.numeric)
