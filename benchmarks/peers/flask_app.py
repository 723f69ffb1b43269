"""Flask, as the recipes have it: `gunicorn benchmarks.peers.flask_app:pandas_app()`, or any other WSGI server."""

from __future__ import annotations

from flask import Flask, Response, request

from benchmarks.peers.work import Answer, answering, with_pandas, with_pyarrow


def application(answer: Answer) -> Flask:
    """Return a Flask application around the model."""
    app = Flask(__name__)

    @app.get("/ping")
    def ping() -> Response:
        return Response(status=200)

    @app.post("/invocations")
    def invocations() -> Response:
        return Response(answer(request.get_data(cache=False)), mimetype="text/csv")

    return app


def pandas_app() -> Flask:
    """Return the application that parses with pandas."""
    return application(answering(with_pandas))


def pyarrow_app() -> Flask:
    """Return the application that parses with pyarrow."""
    return application(answering(with_pyarrow))
