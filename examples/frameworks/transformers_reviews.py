"""Is a review good? A small BERT made from a configuration, trained by the Trainer of Hugging Face Transformers.

Nothing is downloaded: the weights start at random, and a token is a character. A pretrained model and its tokenizer
belong into the image, or come as a base model.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader

from cleanroom_algo import Arrays, Artifacts, Predictor, Schema, Trainer

LENGTH = 32  # of a text in tokens
IGNORED = -100  # the label of rows that do not count, by the convention of Transformers


def tokens(texts: list[str | None]) -> dict[str, Tensor]:
    """Return the first characters of texts: 0 is padding, 1 begins a text, others are the codes of ASCII."""
    ids = torch.zeros(max(len(texts), 1), LENGTH, dtype=torch.int64)
    ids[:, 0] = 1
    for row, text in enumerate(texts):
        codes = [min(ord(letter), 127) for letter in (text or "")[: LENGTH - 1]]
        ids[row, 1 : 1 + len(codes)] = torch.tensor(codes, dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def inputs(batch: Any) -> dict[str, Tensor]:
    """Return a batch as the model takes it; for one without rows, a row that does not count."""
    labels = batch.target.long() if batch.rows else torch.tensor([IGNORED])
    return tokens(batch.texts["review"]) | {"labels": labels}


class _OwnRows(transformers.Trainer):  # type: ignore[misc]
    """Takes this rank's batches as they are: by itself, it would give the first rank's batches to all."""

    def get_train_dataloader(self) -> Any:
        return DataLoader(self.train_dataset, batch_size=None, collate_fn=inputs)


class _Tell(transformers.TrainerCallback):  # type: ignore[misc]
    """Writes the loss as metric lines, on the first rank alone, and ends when the job shall."""

    def __init__(self, algorithm: Reviews) -> None:
        self.algorithm = algorithm

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self.algorithm.log(loss=float(logs["loss"]))

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= self.algorithm.stopping


class Reviews(Trainer):
    """One rank on each host, in the process group of this library's launcher."""

    schema = Schema.of(target="good", review="text", good="bool")
    distributed = True
    batch_size = 16
    logged_names = ("loss",)

    def fit(self) -> None:
        """Train; the loss is the mean over the rows of all ranks, however many each has."""
        self.features = self.fit_features()
        torch.manual_seed(0)
        self.net = transformers.BertForSequenceClassification(
            transformers.BertConfig(
                vocab_size=128,
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=LENGTH,
            )
        )
        with tempfile.TemporaryDirectory() as scratch:
            arguments = transformers.TrainingArguments(
                output_dir=scratch,
                use_cpu=True,
                max_steps=60,
                learning_rate=3e-3,
                logging_steps=20,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            trainer = _OwnRows(self.net, arguments, train_dataset=self.dataset(), callbacks=[_Tell(self)])
            trainer.remove_callback(transformers.PrinterCallback)  # prints rows of numbers on every rank
            trainer.train()

    def save(self, directory: Path) -> None:
        """Write the configuration and the weights, which are safetensors."""
        self.net.save_pretrained(directory)


class ReviewsPredictor(Predictor):
    """Answers with the probability that a review is good."""

    def load(self, artifacts: Artifacts) -> None:
        """Read the model."""
        self.net = transformers.BertForSequenceClassification.from_pretrained(
            artifacts.directory, local_files_only=True
        )
        self.net.eval()

    def predict_arrays(self, arrays: Arrays) -> Tensor:
        """Return probabilities, shape (rows,)."""
        given = tokens(arrays.texts["review"])
        return self.forward(
            lambda ids, mask: self.net(ids, attention_mask=mask).logits.softmax(dim=1)[:, 1],
            given["input_ids"],
            given["attention_mask"],
        )
