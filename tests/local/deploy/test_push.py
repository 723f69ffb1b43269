"""Pushing: to a registry of this machine with podman, and what ECR is asked before (moto's)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from cleanroom_algo.errors import PushError
from cleanroom_algo.local.deploy.pushing import Push, push_image
from cleanroom_algo.local.deploy.repositories import Repository, ask_ecr
from cleanroom_algo.local.hosts.engine import find_engine
from tests.cli.support import run
from tests.images.engine import Engine, missing

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/cleanrooms-ml/x"
CONTENT = f"sha256-{'a' * 64}"
PODMAN = """#!/bin/sh
echo "$@" >> {log}
if [ "$1" = login ]; then cat >> {log}; else echo sha256:1 > "$3"; fi
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Yield the host and port of a registry that keeps images in memory."""
    if shutil.which("docker-registry") is None:
        pytest.skip("not installed: docker-registry")
    settings = tmp_path / "registry.yml"
    settings.write_text('version: 0.1\nstorage: {inmemory: {}}\nhttp: {addr: "127.0.0.1:0"}\n')
    command = ["docker-registry", "serve", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = (re.search(r"listening on 127\.0\.0\.1:(\d+)", line) for line in process.stderr)
            yield f"localhost:{next(each[1] for each in found if each)}"
        finally:
            process.kill()


@pytest.mark.image
def test_an_image_is_pushed_by_digest_and_version(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    engine = Engine.at(tmp_path / "engine")
    engine.use(monkeypatch)
    try:
        image = engine.build("thing", "COPY x /x", base="scratch", files={"x": ""})
        words = ("deploy", "push", image, "--repository", f"{registry}/my/thing", "--version", "1.2", "--json")
        planned = run(*words, "--no-check").json
        assert planned["pushed"] is False
        assert re.fullmatch(rf"{registry}/my/thing:sha256-[0-9a-f]{{64}}", planned["uri"])
        done = run(*words, "--no-check", "--yes").json
        assert done == {**planned, "pushed": True, "digest": done["digest"]}
        accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        asked = urllib.request.Request(f"http://{registry}/v2/my/thing/manifests/1.2", headers=accept)
        with urllib.request.urlopen(asked) as answer:
            assert answer.headers["Docker-Content-Digest"] == done["digest"]
        with urllib.request.urlopen(f"http://{registry}/v2/my/thing/tags/list") as answer:
            assert sorted(json.load(answer)["tags"]) == ["1.2", planned["uri"].rpartition(":")[2]]
        assert run("deploy", "push", "nothing", "--repository", f"{registry}/x").status == 1
    finally:
        engine.remove()
        find_engine.cache_clear()


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.client("ecr", "eu-west-1").create_repository(repositoryName="cleanrooms-ml/x")
        yield


def put(tag: str, layer: str) -> None:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    part = {"digest": f"sha256:{layer}", "size": 1}
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": part, "layers": [part]}
    client = boto3.client("ecr", "eu-west-1")
    client.put_image(repositoryName="cleanrooms-ml/x", imageManifest=json.dumps(manifest), imageTag=tag)


@pytest.mark.usefixtures("ecr")
def test_ecr_says_what_is_there() -> None:
    credentials, there = ask_ecr(Repository(ECR), [CONTENT, "1.2"])
    assert (credentials.user, there) == ("AWS", set())
    put(CONTENT, "1")
    put("1.2", "1")
    assert ask_ecr(Repository(ECR), [CONTENT, "1.2"])[1] == {CONTENT, "1.2"}
    put("1.3", "2")
    with pytest.raises(PushError, match=r"has the tag 1\.3 for another image"):
        ask_ecr(Repository(ECR), [CONTENT, "1.3"])
    with pytest.raises(PushError, match="ECR has no repository other"):
        ask_ecr(Repository(ECR.replace("cleanrooms-ml/x", "other")), [CONTENT])


@pytest.mark.process
@pytest.mark.usefixtures("ecr")
def test_the_tool_logs_in_and_pushes_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("1.2", "1")
    put(CONTENT, "1")
    log = tmp_path / "log"
    (tmp_path / "podman").write_text(PODMAN.format(log=log))
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    push = Push("image", Repository(ECR), (f"sha256-{'b' * 64}", "1.3"), "podman", "podman")
    said: list[str] = []
    assert push_image(push, said.append) == "sha256:1"
    login, password, *pushes = log.read_text().replace("123456789012-auth-token", "TOKEN\n").splitlines()
    assert login == f"login --username AWS --password-stdin {ECR.partition('/')[0]}"
    assert password == "TOKEN"
    assert [each.rpartition(":")[2] for each in pushes] == [f"sha256-{'b' * 64}", "1.3"]
    assert push_image(Push("image", Repository(ECR), (CONTENT, "1.2"), "podman", "podman"), said.append) is None
    assert [each.split()[0] for each in said] == [f"{ECR}:{CONTENT}", f"{ECR}:1.2"]


@pytest.mark.parametrize("uri", ["https://x/y", "x", "localhost:5000/X", "host/x:1", "host/x@sha256:1", "host/"])
def test_what_is_no_repository_is_refused(uri: str) -> None:
    with pytest.raises(PushError, match="is not the URI of a repository"):
        Repository.parse(uri)


@pytest.mark.parametrize("tag", ["", "a b", ".a", "-a", "x" * 129, "é"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(PushError):
        Repository("localhost:5000/x").with_tag(tag)
    assert not Repository("localhost:5000/x").is_ecr
