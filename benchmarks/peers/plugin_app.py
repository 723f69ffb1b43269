"""The inference-server of J.P. Morgan: WSGI and hooks, here on gunicorn."""

from __future__ import annotations

from typing import Any

import inference_server
from inference_server._plugin import manager

from benchmarks.peers.work import Answer, answering


class _Hooks:
    @inference_server.plugin_hook()  # type: ignore[untyped-decorator]
    def model_fn(self, model_dir: str) -> Answer:  # noqa: ARG002 (the hook's signature)
        return answering()

    @inference_server.plugin_hook()  # type: ignore[untyped-decorator]
    def input_fn(self, input_data: bytes, content_type: str) -> bytes:  # noqa: ARG002 (the hook's signature)
        return input_data

    @inference_server.plugin_hook()  # type: ignore[untyped-decorator]
    def predict_fn(self, data: bytes, model: Answer) -> bytes:
        return model(data)

    @inference_server.plugin_hook()  # type: ignore[untyped-decorator]
    def output_fn(self, prediction: bytes, accept: Any) -> tuple[bytes, str]:  # noqa: ARG002 (the hook's signature)
        return prediction, "text/csv"


def app() -> Any:
    """Return the application, its model loaded."""
    manager().register(_Hooks())
    inference_server.warmup()
    return inference_server.create_app()
