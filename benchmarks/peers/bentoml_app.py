"""BentoML; its service takes typed JSON, so the CSV travels inside JSON."""

import os

import bentoml

from benchmarks.peers.work import answering


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")))
class Numbers:
    """The network."""

    def __init__(self) -> None:
        self.answer = answering()

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]
    def invocations(self, csv: str) -> str:
        """Answer."""
        return self.answer(csv.encode()).decode()
