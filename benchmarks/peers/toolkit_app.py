"""The SageMaker inference toolkit on multi-model-server, with its own codecs or with pyarrow; and TorchServe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.peers.work import answering, load, predict

_state: dict[str, Any] = {}


def handle(data: Sequence[Any] | None, _context: Any) -> list[str] | None:
    """Answer a request without the toolkit's codecs: what either server calls."""
    if data is None:
        return None
    if "answer" not in _state:
        _state["answer"] = answering()
    return [_state["answer"](bytes(each.get("body"))).decode() for each in data]


def handle_with_codecs(data: Sequence[Any] | None, context: Any) -> list[str] | None:
    """Answer through the toolkit's Transformer, its decoders and encoders, as its images do."""
    from sagemaker_inference import decoder, default_inference_handler, encoder, transformer

    if data is None:
        return None

    class Handler(default_inference_handler.DefaultInferenceHandler):  # type: ignore[misc]
        def default_model_fn(self, *_: Any) -> Any:
            return load()

        def default_input_fn(self, input_data: Any, content_type: str, *_: Any) -> Any:
            return decoder.decode(input_data, content_type)

        def default_predict_fn(self, data: Any, model: Any, *_: Any) -> Any:
            return predict(model, data.astype("float32").reshape(-1, 20))

        def default_output_fn(self, prediction: Any, accept: str, *_: Any) -> Any:
            return encoder.encode(prediction, accept)

    if "transformer" not in _state:
        _state["transformer"] = transformer.Transformer(Handler())
    transform: Callable[[Sequence[Any], Any], list[str]] = _state["transformer"].transform
    return transform(data, context)
