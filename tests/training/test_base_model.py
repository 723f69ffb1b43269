"""Training on from a base model, and what is refused of it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cleanroom_algo.contract.channel import Channel, InputMode
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.errors import (
    ArtifactChangedError,
    BaseModelMismatchError,
    BaseModelNotFoundError,
    TensorMismatchError,
    UnsafeFileError,
)
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles, unpack_base_model
from cleanroom_algo.training.artifacts.weights import load_tensors, read_base_tensors
from tests.training.support import ALGORITHM, Container, algorithm, csv_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a first version."""
    folder = tmp_path_factory.mktemp("base")
    container = Container(folder / "ml", algorithm(folder), hyperparameters={"epochs": "1"})
    assert container.channel("train", {"a": csv_rows(300)}).run().status == 0
    return container.model


def tar_of(folder: Path, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, arcname=".")
    return buffer.getvalue()


def files_of(folder: Path) -> dict[str, str | bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("form", ["packed", "unpacked"])
def test_a_second_version_goes_on_from_the_first(tmp_path: Path, base: Path, form: str) -> None:
    files = {"model.tar.gz": tar_of(base)} if form == "packed" else files_of(base)
    container = Container(tmp_path / "ml", algorithm(tmp_path), hyperparameters={"epochs": "1"})
    rows = csv_rows(200, 9).replace("AA,", "ZZ,")
    container.channel("train", {"a": rows}).channel("previous-version", files)
    ended = container.run()
    assert ended.status == 0, ended.err
    assert f"does not know, with index 0: carrier: {rows.count('ZZ')} of 200\n" in ended.err
    first, second = Manifest.read(base), Manifest.read(container.model)
    assert second.base_version == first.created
    assert (second.steps, second.rows) == (first.steps + 4, first.rows + 200)
    assert (container.model / "features.json").read_text() == (base / "features.json").read_text()
    assert "optimizer: continuing" in ended.err
    state = load_file(container.model / "optimizer.safetensors")
    assert state["layer.bias.step"].item() == second.steps


def test_another_algorithm_puts_a_new_head_on_the_base(tmp_path: Path, base: Path) -> None:
    text = ALGORITHM.replace("class Late(Trainer)", "class Later(Trainer)").replace("self.layer", "self.head")
    options = "base_algorithms = ('Late',)\nbase_fresh = ('head.*', 'layer.*')\n"
    barely = {"epochs": "1", "learning_rate": "1e-12"}  # so that its weights tell where they came from
    ends = []
    for name, body in (("accepted", options), ("refused", "")):
        container = Container(tmp_path / name / "ml", algorithm(tmp_path / name, body, text), hyperparameters=barely)
        ends.append((container, container.channel("train", {"a": csv_rows(200)}).channel("base", files_of(base)).run()))
    (accepted, ended), (refused, failed) = ends
    assert ended.status == 0, ended.err
    assert "base model: 4 tensors start with new values, 0 are enlarged" in ended.err
    assert "optimizer: starting fresh, as the base model's is different" in ended.err
    before, after = (load_file(folder / "model.safetensors") for folder in (base, accepted.model))
    assert torch.allclose(before["table.weight"], after["table.weight"], rtol=0, atol=1e-9)
    assert failed.status == 3
    assert "CR-BAS-003" in refused.failure


def test_the_incremental_channel_can_be_named(tmp_path: Path, base: Path) -> None:
    container = Container(tmp_path / "ml", algorithm(tmp_path), hyperparameters={"epochs": "1"})
    container.channel("train", {"a": csv_rows(200, 9)})
    for name in ("one", "two"):
        container.channel(name, {"model.tar.gz": tar_of(base)})
    container.variables["CLEANROOM_ALGO_BASE_MODEL_CHANNEL"] = "two"
    ended = container.run()
    assert ended.status == 0, ended.err
    assert "base model: channel two" in ended.err


def test_in_pipe_mode_the_base_comes_as_files(tmp_path: Path, base: Path) -> None:
    container = Container(tmp_path / "ml", algorithm(tmp_path), hyperparameters={"epochs": "2"})
    container.channel("previous", {"model.tar.gz": tar_of(base)})
    container.channels["train"] = {"TrainingInputMode": "Pipe"}
    data = container.root / "input" / "data"
    pipes = [data / "train_0", data / "train_1"]
    for pipe in pipes:
        os.mkfifo(pipe)
    feeders = [threading.Thread(target=pipe.write_bytes, args=(csv_rows(200, 3).encode(),)) for pipe in pipes]
    for feeder in feeders:
        feeder.start()
    ended = container.run()
    for feeder in feeders:
        feeder.join(10)
    assert ended.status == 0, ended.err
    assert Manifest.read(container.model).rows == 300 + 400
    assert "optimizer: continuing" in ended.err


def test_a_pipe_is_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(BaseModelNotFoundError, match="is a pipe"):
        unpack_base_model(Channel("previous", Paths(tmp_path), InputMode.PIPE), tmp_path / "target")


def opened(folder: Path, **options: object) -> BaseModelFiles:
    settings = {"algorithms": {"Late"}, "schema": None, "trusted_pickles": ()} | options
    return BaseModelFiles.open(folder, **settings)  # type: ignore[arg-type]


def copy_of(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def test_changed_and_foreign_artifacts_are_refused(tmp_path: Path, base: Path) -> None:
    from cleanroom_algo.channels.schema import Schema

    copy = copy_of(base, tmp_path)
    with pytest.raises(
        BaseModelMismatchError, match="is of class 'Late', but this algorithm is of class Other"
    ) as other:
        opened(copy, algorithms={"Other"})
    assert "base_algorithms = ('Late',) in the class" in other.value.fix
    with pytest.raises(BaseModelMismatchError, match=r"another schema than this algorithm, in 2 point\(s\)") as caught:
        opened(copy, schema=Schema.of(target="late", carrier="string", late="bool"))
    assert {problem.path for problem in caught.value.problems} == {"schema.distance", "schema.hour"}
    (copy / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(ArtifactChangedError):
        opened(copy)


class Evil:
    target: Path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_pickles_are_opened_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(pickle.dumps({"weights": [1]}))
    (tmp_path / "arrays.bin").write_bytes(pickle.dumps({"weights": [1]}, protocol=0))
    with pytest.raises(UnsafeFileError, match="trusted_pickles"):
        opened(tmp_path).file("model.joblib")
    with pytest.raises(UnsafeFileError):
        opened(tmp_path).file("arrays.bin")
    assert opened(tmp_path, trusted_pickles=["model.joblib"]).file("model.joblib").is_file()
    with pytest.raises(BaseModelNotFoundError):
        opened(tmp_path).file("../model.joblib")


def test_torch_files_are_read_as_tensors_alone(tmp_path: Path) -> None:
    weights = {"w": torch.ones(2, 3)}
    torch.save({"state_dict": weights}, tmp_path / "model.pth")
    assert torch.equal(read_base_tensors(opened(tmp_path))["w"], weights["w"])
    torch.save({"w": torch.ones(1).expand(10**12)}, tmp_path / "model.pth")
    with pytest.raises(UnsafeFileError, match="claims more"):
        read_base_tensors(opened(tmp_path))
    Evil.target = tmp_path / "evil"
    torch.save(Evil(), tmp_path / "model.pth")
    with pytest.raises(UnsafeFileError, match="tensors alone"):
        read_base_tensors(opened(tmp_path))
    assert not Evil.target.exists()


def test_the_report_names_every_tensor_that_does_not_fit() -> None:
    model = torch.nn.ModuleDict({"body": torch.nn.Linear(3, 4), "head": torch.nn.Linear(4, 2)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = {"body.weight": torch.zeros(4, 3), "body.bias": torch.zeros(5), "old.weight": torch.zeros(1)}
    with pytest.raises(TensorMismatchError) as caught:
        load_tensors(model, tensors)
    assert {problem.path: problem.message for problem in caught.value.problems} == {
        "head.weight": "is in the model, but not in the base model",
        "head.bias": "is in the model, but not in the base model",
        "old.weight": "is in the base model, but not in the model",
        "body.bias": "is float32 [5], the model's is float32 [4]",
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_new_head_and_a_grown_embedding_are_loaded_in_part() -> None:
    model = torch.nn.ModuleDict({"table": torch.nn.Embedding(5, 2), "head": torch.nn.Linear(2, 2)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    base = {"table.weight": torch.ones(3, 2), "head.weight": torch.zeros(1, 2)}
    report = load_tensors(model, base, fresh=["head.*"], grow=["table.weight"])
    assert report.grown == ("table.weight",)
    assert set(report.fresh) == {"head.weight", "head.bias"}
    after = model.state_dict()
    assert torch.equal(after["table.weight"][:3], base["table.weight"])
    assert torch.equal(after["table.weight"][3:], before["table.weight"][3:])
    assert torch.equal(after["head.weight"], before["head.weight"])


def test_shards_and_single_files_of_other_tools_are_found(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.ones(1)}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    assert sorted(read_base_tensors(opened(tmp_path))) == ["a", "b"]
    index.unlink()
    with pytest.raises(BaseModelNotFoundError, match="2 files"):
        read_base_tensors(opened(tmp_path))


def test_a_channel_without_a_model_is_an_error(tmp_path: Path) -> None:
    channel = Channel("previous", Paths(tmp_path), InputMode.FILE)
    channel.path.mkdir(parents=True)
    with pytest.raises(BaseModelNotFoundError):
        unpack_base_model(channel, tmp_path / "target")
