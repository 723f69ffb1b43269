"""Serving with the functions of a script: the interface of the SageMaker inference toolkit and its defaults."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

from cleanroom_algo.contract.algorithm import load_algorithm
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import AlgorithmClassError, CleanroomError, ModelFilesError, PredictionShapeError
from cleanroom_algo.serving.codecs.arrays import decode_array, encode_array
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.scoring.algorithm_errors import prediction_failed

TEXTS = {MediaType.CSV.media_type, MediaType.JSON.media_type}
"""Content types whose bodies a script gets as str, as in the toolkit; other bodies are bytes."""


class InferenceScript:
    """A script with its model loaded.

    One request is processed at a time, as in the toolkit's workers: scripts need not be thread-safe.

    Args:
        module: the script.
        directory: the model's.
        redact: describes the script's exceptions.
    """

    def __init__(self, module: ModuleType, directory: Path, redact: Redactor) -> None:
        self._module = module
        self._redact = redact
        self._turn = threading.Lock()
        self._context = SimpleNamespace(system_properties={"model_dir": str(directory), "gpu_id": None})
        if hasattr(module, "transform_fn") and any(
            hasattr(module, name) for name in ("input_fn", "predict_fn", "output_fn")
        ):
            raise AlgorithmClassError(
                f"{module.__name__} defines transform_fn beside input_fn, predict_fn or output_fn",
                expected="transform_fn, or the other three",
                fix="remove transform_fn, which replaces the others",
            )
        load = getattr(module, "model_fn", _load_torchscript)
        self.model = self._call(load, str(directory))

    @classmethod
    def load(cls, path: Path, directory: Path, redact: Redactor) -> Self:
        """Import a script and load its model; exceptions of its code pass through.

        Args:
            path: of the script.
            directory: the model's.
            redact: describes the script's exceptions.
        """
        return cls(load_algorithm(path), directory, redact)

    def respond(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Return the answer to a body, and its content type.

        Args:
            body: UTF-8 if it is text.
            content_type: of the body, without parameters.
            accept: the header of the request, or the default.

        Raises:
            PredictionFailedError: CR-SRV-008, a function of the script raised.
            PredictionShapeError: CR-SRV-007, the answer is neither text nor bytes.
            ContentTypeError, BadRecordError, NotAcceptableError: of the default functions.
        """
        try:
            given = body.decode() if content_type in TEXTS else body
            with self._turn:
                answer = self._transform(given, content_type, accept)
        except (CleanroomError, MemoryError):
            raise
        except BaseException as error:  # SystemExit, KeyboardInterrupt, a panic in Rust: each would end the process
            raise prediction_failed(error, self._redact) from error
        written, kind = answer if isinstance(answer, tuple) else (answer, accept)
        if isinstance(written, str):
            written = written.encode()
        if not isinstance(written, bytes | bytearray | memoryview):
            raise PredictionShapeError(
                f"output_fn returned {type(written).__name__}",
                expected="str or bytes, or such an answer and its content type",
                fix="encode the predictions in output_fn, or leave it out for the default",
            )
        return bytes(written), kind

    def _transform(self, body: str | bytes, content_type: str, accept: str) -> Any:
        whole = getattr(self._module, "transform_fn", None)
        if whole is not None:
            return self._call(whole, self.model, body, content_type, accept)
        data = self._call(getattr(self._module, "input_fn", self._input), body, content_type)
        predicted = self._call(getattr(self._module, "predict_fn", _predict), data, self.model)
        return self._call(getattr(self._module, "output_fn", _output), predicted, accept)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, with the toolkit's context as one more argument if it takes it."""
        takes = len(inspect.signature(function).parameters)
        return function(*arguments, self._context) if takes == len(arguments) + 1 else function(*arguments)

    def _input(self, body: str | bytes, content_type: str) -> Any:
        array = decode_array(body, content_type)
        if not _is_torch_module(self.model):
            return array
        import torch

        return torch.FloatTensor(array) if content_type in TEXTS else torch.from_numpy(array)


def _predict(data: Any, model: Any) -> Any:
    """Call the model: without gradients if it is a torch module, by `predict` if it has this method."""
    if _is_torch_module(model):
        import torch

        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        with torch.no_grad():
            return model.eval()(data.to(device))
    if hasattr(model, "predict"):
        return model.predict(data)
    if callable(model):
        return model(data)
    raise AlgorithmClassError(
        f"the default predict_fn cannot call what model_fn returned ({type(model).__name__})",
        expected="a torch module, a model with `predict`, or a function",
        fix="define predict_fn(data, model) in the script",
    )


def _output(predicted: Any, accept: str) -> tuple[bytes, str]:
    if hasattr(predicted, "detach"):
        predicted = predicted.detach().cpu().numpy()
    return encode_array(predicted, accept)


def _load_torchscript(directory: str) -> Any:
    """Load the only TorchScript file, as the toolkit of PyTorch does without a model_fn."""
    found = sorted(path for path in Path(directory).iterdir() if path.suffix in {".pt", ".pth"})
    usual = [path for path in found if path.name == "model.pt"]
    if len(usual or found) != 1:
        raise ModelFilesError(
            f"the script has no model_fn, and the model directory holds {len(found)} files of TorchScript",
            expected="model.pt, or one file that ends in .pt or .pth",
            fix="define model_fn(model_dir) in the script",
        )
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.jit.load((usual or found)[0], map_location=device)  # type: ignore[no-untyped-call]


def _is_torch_module(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)
