"""The real server in a process of its own, and boto3 clients of members."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config


@dataclass
class Up:
    """A running `cleanroom-algo up`."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    started_seconds: float

    def client(
        self,
        account: str = "111122223333",
        service: str = "cleanroomsml",
        attempts: int = 1,
        region: str = "us-east-1",
    ) -> Any:
        make: Any = boto3.client  # its stubs know service names as literals only
        return make(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": attempts}, max_pool_connections=20),
        )


@contextmanager
def up(home: Path, *options: str) -> Iterator[Up]:
    """Serve a state folder until the block ends."""
    before = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanroom_algo.cli", "up", "--port", "0", "--json", "--home", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"up ended with {process.wait()}")
        yield Up(json.loads(line)["endpoint"], home, process, time.monotonic() - before)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
