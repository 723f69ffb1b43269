"""Starlette, for uvicorn: the prediction runs in its pool of threads, or /ping would wait for it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.work import SPLIT_BYTES, answering


def app() -> Starlette:
    """Return the application."""
    answer = answering()

    async def ping(_: Request) -> Response:
        return Response()

    async def invocations(request: Request) -> Response:
        body = await request.body()
        # One row takes less time than handing it to a thread.
        answered = answer(body) if len(body) < SPLIT_BYTES else await run_in_threadpool(answer, body)
        return Response(answered, media_type="text/csv")

    return Starlette(routes=[Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])])
