"""Scripts serve by the contract of the SageMaker inference toolkit, its defaults included."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.script import inference_script
from cleanroom_algo.errors import (
    AlgorithmClassError,
    BadRecordError,
    CleanroomError,
    ContentTypeError,
    ManifestError,
    ModelFilesError,
    NotAcceptableError,
    PredictionFailedError,
    PredictionShapeError,
)
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.script import InferenceScript
from cleanroom_algo.testing import load_predictor, predict

pytestmark = pytest.mark.unit

Load = Callable[..., InferenceScript]
SUM = "def model_fn(model_dir):\n    return lambda data: data.sum(axis=1)\n"
CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads a script with a name of its own."""

    def loaded(text: str) -> InferenceScript:
        script = tmp_path / f"inference_{abs(hash(text))}.py"
        script.write_text(text)
        return InferenceScript.load(script, tmp_path, Redactor(tmp_path))

    return loaded


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_the_default_formats(load: Load) -> None:
    script = load(SUM)
    for body, kind in (
        (b"a,b\n1,2\n3,4.5\n", CSV),
        (b"1, 2\r\n3,4.5", CSV),
        (b"[[1, 2], [3, 4.5]]", JSON),
        (npy(np.array([[1, 2], [3, 4.5]])), NPY),
    ):
        assert script.respond(body, kind, "image/png, text/csv;q=0.5") == (b"3.0\n7.5", CSV)
    assert script.respond(b"1,2\n", CSV, JSON) == (b"[3.0]", JSON)
    assert script.respond(b"a,b\n,2\n", CSV, CSV) == (b"nan", CSV)
    assert script.respond(b"x\n1\n2\n", CSV, JSON) == (b"[1.0, 2.0]", JSON)
    answer, _ = script.respond(b"1,2\n", CSV, NPY)
    assert np.load(io.BytesIO(answer)).tolist() == [3.0]


@pytest.mark.parametrize(
    ("body", "kind", "accept", "error"),
    [
        (b"1,2\nx,3\n", CSV, CSV, BadRecordError),
        (b"1,2\n3\n", CSV, CSV, BadRecordError),
        (b"[[1], [2, 3]]", JSON, CSV, BadRecordError),
        (npy(np.array([object()])), NPY, CSV, BadRecordError),
        (b"1", "text/plain", CSV, ContentTypeError),
        (b"1,2\n", CSV, "image/png", NotAcceptableError),
    ],
)
def test_what_the_defaults_refuse(load: Load, body: bytes, kind: str, accept: str, error: type[CleanroomError]) -> None:
    with pytest.raises(error) as caught:
        load(SUM).respond(body, kind, accept)
    assert "x" not in caught.value.what.split()


def test_functions_of_the_script_are_called(load: Load) -> None:
    script = load(
        "import json\n"
        "def model_fn(model_dir, context):\n    return context.system_properties['model_dir'] == model_dir\n"
        "def input_fn(body, content_type):\n    return body, content_type\n"
        "def predict_fn(data, model):\n    return [*data, model]\n"
        "def output_fn(predicted, accept):\n    return json.dumps(list(map(str, predicted))), 'application/x-own'\n"
    )
    answer, kind = script.respond(b"1,2", CSV, "x/y")
    assert (json.loads(answer), kind) == (["1,2", CSV, "True"], "application/x-own")
    assert json.loads(script.respond(b"\xff", "x/y", "")[0])[0] == "b'\\xff'"

    whole = load(
        "def model_fn(model_dir):\n    return 7\n"
        "def transform_fn(model, body, kind, accept):\n    return f'{model}{accept}'\n"
    )
    assert whole.respond(b"", CSV, "x/y") == (b"7x/y", "x/y")


def test_what_is_wrong_with_a_script(load: Load) -> None:
    raising = load(SUM + "def predict_fn(data, model):\n    raise ValueError(f'row {data}')\n")
    with pytest.raises(PredictionFailedError, match=r"ValueError at inference_\d+.py:4 in predict_fn"):
        raising.respond(b"4711", CSV, CSV)
    with pytest.raises(PredictionShapeError, match="output_fn returned dict"):
        load(SUM + "def output_fn(predicted, accept):\n    return {}\n").respond(b"1", CSV, CSV)
    with pytest.raises(AlgorithmClassError, match="beside"):
        load(SUM + "def transform_fn(*a): pass\ndef input_fn(*a): pass\n")
    with pytest.raises(AlgorithmClassError, match=r"cannot call what model_fn returned \(int\)"):
        load("def model_fn(model_dir):\n    return 1\n").respond(b"1", CSV, CSV)
    with pytest.raises(ModelFilesError, match="holds 0 files"):
        load("def predict_fn(data, model): pass\n")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what the toolkit documents
def test_models_of_torch(load: Load, tmp_path: Path) -> None:
    import torch

    torch.jit.script(torch.nn.Linear(2, 1)).save(str(tmp_path / "model.pt"))  # type: ignore[no-untyped-call]
    model = torch.jit.load(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    with torch.no_grad():
        expected = model(torch.tensor([[1.0, 2.0]])).numpy()
    script = load("def output_fn(predicted, accept):\n    return str(predicted.requires_grad)\n")
    assert script.respond(b"[[1, 2]]", JSON, CSV)[0] == b"False"
    answer, _ = load("predict_fn = None\ndel predict_fn\n").respond(b"1,2\n", CSV, NPY)
    assert np.array_equal(np.load(io.BytesIO(answer)), expected)


def test_which_script_serves(tmp_path: Path) -> None:
    folder, code = tmp_path / "algorithm", tmp_path / "ml" / "code"
    for each in (folder, code):
        each.mkdir(parents=True)
    (folder / "train.py").write_text("import os\n")

    def found(algorithm: Path = folder, **variables: str) -> str | None:
        given = {"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "CLEANROOM_ALGO_ALGORITHM": str(algorithm), **variables}
        path = inference_script(InferenceEnvironment.read(given))
        return None if path is None else path.relative_to(tmp_path).as_posix()

    assert found() is None
    (folder / "inference.py").write_text("model_fn = print\n")
    assert found() == found(SAGEMAKER_PROGRAM="train.py") == "algorithm/inference.py"
    (folder / "algorithm.py").write_text("")
    assert found() is found(folder / "train.py") is None
    assert found(SAGEMAKER_PROGRAM="train.py") == "algorithm/inference.py"
    (code / "train.py").write_text("from inference import predict_fn\n")
    assert found(SAGEMAKER_PROGRAM="train.py") == "ml/code/train.py"


def test_a_predictor_declares_the_schema_of_a_scripts_artifacts(tmp_path: Path) -> None:
    class Double(Predictor):
        schema = Schema.of(x="float64")

        def predict(self, frame: pl.DataFrame) -> pl.Series:
            return frame["x"] * 2

    predictor = load_predictor(Double, Artifacts(tmp_path))
    assert predict(predictor, pl.DataFrame({"x": [1.5]}))["x"].to_list() == [3.0]
    Double.schema = None  # type: ignore[assignment]
    with pytest.raises(ManifestError) as caught:
        predict(load_predictor(Double, Artifacts(tmp_path)), pl.DataFrame({"x": [1.5]}))
    assert "declare `schema` in the Predictor" in caught.value.fix
    Manifest(algorithm="Mine", table_schema=Schema.of(y="float64").to_dict()).write(tmp_path)
    Double.schema = Schema.of(x="float64")
    with pytest.raises(ModelFilesError, match="is not that of the artifacts"):
        predict(load_predictor(Double, Artifacts(tmp_path)), pl.DataFrame({"x": [1.5]}))
