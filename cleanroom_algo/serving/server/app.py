"""The Flask application: /ping, /invocations, /execution-parameters.

(SageMaker developer guide, "Use your own inference code with batch transform" and "... with hosting services".)
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from cleanroom_algo.errors import MethodError, NoSuchPathError
from cleanroom_algo.serving.server.invocation import invoke
from cleanroom_algo.serving.server.refusal import refusal
from cleanroom_algo.serving.server.request_metrics import exposition
from cleanroom_algo.serving.server.service import Service

ROUTES = "GET /ping, GET /execution-parameters, POST /invocations"


def create_app(service: Service) -> Flask:
    """Return the application that answers with a service."""
    app = Flask("cleanroom_algo.serving", static_folder=None)

    @app.get("/ping")
    def ping() -> Response:
        """200 with an empty body if a prediction would work, else 503."""
        return Response(status=200 if service.is_healthy() else 503)

    @app.get("/execution-parameters")
    def parameters() -> Response:
        """How much a batch transform job should send at once, unless its request sets it."""
        if service.parameters is None:
            return Response(status=503)
        return jsonify(service.parameters.to_dict())

    @app.post("/invocations")
    def invocations() -> Response:
        """One prediction per record of the body, in order."""
        return invoke(service, request.environ)

    if service.environment.settings.serve_prometheus:

        @app.get("/metrics")
        def metrics() -> Response:
            """Counts and times of all processes, for Prometheus."""
            text, content_type = exposition()
            return Response(text, content_type=content_type)

    @app.errorhandler(NotFound)
    def no_such_path(_: NotFound) -> Response:
        """404 in the same form as all other refusals."""
        error = NoSuchPathError("the path of the request does not exist", expected=ROUTES, fix="use one of these paths")
        return refusal(error)

    @app.errorhandler(MethodNotAllowed)
    def other_method(refused: MethodNotAllowed) -> Response:
        """405 in the same form as all other refusals, with the supported methods."""
        error = MethodError(
            "the path does not support this method", expected=ROUTES, fix="use a supported method of the path"
        )
        response = refusal(error)
        response.allow.update(refused.valid_methods or ())
        return response

    return app
