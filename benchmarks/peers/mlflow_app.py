"""MLflow; it parses CSV itself, with pandas, and answers in JSON. `... FOLDER` writes the model that it serves."""

from __future__ import annotations

import sys
from typing import Any

import mlflow.pyfunc
import numpy as np

from benchmarks.peers.work import load, predict


class Numbers(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The network."""

    def load_context(self, context: Any) -> None:  # noqa: ARG002 (MLflow's signature)
        """Load it."""
        self.net = load()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 (MLflow's signature)
        """Answer a table."""
        return predict(self.net, model_input.to_numpy(dtype=np.float32))


if __name__ == "__main__":
    from benchmarks.peers.mlflow_app import Numbers as Importable  # by its module's name, as it will be loaded

    mlflow.pyfunc.save_model(sys.argv[1], python_model=Importable(), pip_requirements=["mlflow"])
