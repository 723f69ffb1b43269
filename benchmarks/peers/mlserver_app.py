"""MLServer with a handler of its own for CSV, its quickest way: its protocol's JSON tensors take twice as long."""

from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler

from benchmarks.peers.work import answering


class Numbers(MLModel):  # type: ignore[misc]
    """The network."""

    async def load(self) -> bool:
        """Load it."""
        self.answer = answering()
        return True

    @custom_handler(rest_path="/invocations")  # type: ignore[untyped-decorator]
    async def invocations(self, request: Request) -> Response:
        """Answer."""
        return Response(self.answer(await request.body()), media_type="text/csv")
