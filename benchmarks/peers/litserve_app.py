"""LitServe; it takes JSON or forms only, so the CSV travels inside JSON. `... PORT WORKERS`.

LitServe reads the annotations: they must not be texts.
"""

import sys

import litserve

from benchmarks.peers.work import answering


class Numbers(litserve.LitAPI):  # type: ignore[misc]
    """The network."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        """Load it."""
        self.answer = answering()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the CSV."""
        return request["csv"].encode()

    def predict(self, x: bytes) -> bytes:
        """Answer."""
        return self.answer(x)

    def encode_response(self, output: bytes) -> dict[str, str]:
        """Return the answer's JSON."""
        return {"predictions": output.decode()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Numbers(api_path="/invocations"), accelerator="cpu", workers_per_device=int(sys.argv[2])
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
