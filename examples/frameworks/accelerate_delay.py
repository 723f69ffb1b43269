"""Is a flight late? A plain loop of torch, distributed by Hugging Face Accelerate."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn

from cleanroom_algo import Arrays, Artifacts, Predictor, Schema, Trainer


def network(numbers: int) -> nn.Module:
    """Return a small network over numbers."""
    return nn.Sequential(nn.Linear(numbers, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))


class Delay(Trainer):
    """One rank on each host; Accelerate reads the launcher's RANK and WORLD_SIZE, and joins its process group."""

    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="bool")
    distributed = True
    batch_size = 64
    logged_names = ("epoch", "loss")

    def fit(self) -> None:
        """Train. Only the model and the optimizer are prepared: the dataset has this rank's rows already."""
        self.features = self.fit_features()
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True)
        model = network(self.features.numeric_size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        model, optimizer = accelerator.prepare(model, optimizer)
        for epoch in range(1, 11):
            for batch in self.dataset():
                assert batch.target is not None
                rows = accelerator.reduce(torch.tensor(float(batch.rows)), "sum")  # this rank's batch may have no row
                losses = nn.functional.binary_cross_entropy_with_logits(
                    model(batch.numeric), batch.target, reduction="sum"
                )
                accelerator.backward(losses * accelerator.num_processes / rows)  # DDP takes the mean over ranks
                optimizer.step()
                optimizer.zero_grad()
                loss = accelerator.reduce(losses.detach(), "sum") / rows
            self.log(epoch=epoch, loss=loss)
            if self.stopping:
                break
        self.net = accelerator.unwrap_model(model)

    def save(self, directory: Path) -> None:
        """Write the weights."""
        save_file(self.net.state_dict(), directory / "model.safetensors")


class DelayPredictor(Predictor):
    """Answers with the probability that a flight is late."""

    def load(self, artifacts: Artifacts) -> None:
        """Read the weights."""
        self.net = network(artifacts.features.numeric_size)
        self.net.load_state_dict(artifacts.state_dict())
        self.net.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return probabilities, shape (rows,)."""
        return self.forward(lambda numeric: torch.sigmoid(self.net(numeric)), arrays.numeric)
