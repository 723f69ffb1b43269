"""Training on from a model of the room, in both forms that it may have in its channel."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.scenario.conftest import CliFixture
from tests.training.support import algorithm, csv_rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CliFixture:
    """Return a desk with one trained torch model, `late`."""
    folder = tmp_path_factory.mktemp("desk")
    data = folder / "data"
    data.mkdir()
    (data / "part-00000.csv").write_text(csv_rows(300))
    desk = CliFixture(folder, folder / "home", algorithm(folder), data)
    done = desk.train("--name", "late", "--hyperparameter", "epochs=1", "--json")
    assert done.status == 0, done.stderr
    return desk


@pytest.mark.parametrize(("mode", "form"), [("File", "packed"), ("Pipe", "unpacked")])
def test_a_version_goes_on_from_its_base(trained: CliFixture, mode: str, form: str) -> None:
    (trained.home / "settings.toml").write_text(f'[switches]\nbase_model_form = "{form}"\n')
    before = set(trained.artifacts())
    barely = "learning_rate=1e-12"  # so that its weights tell where it came from
    words = ("--base-model", "late", "--input-mode", mode, "--hyperparameter", barely, "--json")
    done = trained.train(*words)
    assert done.status == 0, done.stderr
    (version,) = set(trained.artifacts()) - before
    base = min(before, key=lambda path: path.stat().st_mtime)
    torch.testing.assert_close(weights_of(version), weights_of(base), rtol=0, atol=1e-6)


def weights_of(archive: Path) -> dict[str, torch.Tensor]:
    with tarfile.open(archive) as tar:
        file = tar.extractfile("model.safetensors")
        assert file is not None
        return load(file.read())
