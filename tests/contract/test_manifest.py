"""manifest.json lists every file and notices every change."""

import math
from pathlib import Path

import pytest

from cleanroom_algo.contract.manifest import MANIFEST_FILE, Manifest
from cleanroom_algo.errors import ArtifactChangedError, ManifestError


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "sub" / "vocabulary.json").write_text("{}")
    return tmp_path


def test_what_is_written_is_read_and_verified(artifacts: Path) -> None:
    written = Manifest(algorithm="Mine", table_schema={"columns": []}, metrics={"loss": 0.5}).write(artifacts)

    read = Manifest.read(artifacts)

    assert read == written
    assert set(read.files) == {"model.safetensors", "sub/vocabulary.json"}
    assert '"schema"' in (artifacts / MANIFEST_FILE).read_text()
    read.verify(artifacts)


def test_a_metric_that_is_no_number_leaves_the_manifest_readable(artifacts: Path) -> None:
    Manifest(algorithm="Mine", metrics={"auc": math.nan, "ratio": math.inf}).write(artifacts)

    metrics = Manifest.read(artifacts).metrics

    assert math.isnan(metrics["auc"])
    assert metrics["ratio"] == math.inf


def test_every_difference_is_named(artifacts: Path) -> None:
    manifest = Manifest(algorithm="Mine").write(artifacts)
    (artifacts / "model.safetensors").write_bytes(b"WEIGHTS")
    (artifacts / "sub" / "vocabulary.json").unlink()
    (artifacts / "stray").touch()

    with pytest.raises(ArtifactChangedError) as caught:
        manifest.verify(artifacts)

    assert {problem.path: problem.message for problem in caught.value.problems} == {
        "model.safetensors": "has another content",
        "sub/vocabulary.json": "is missing",
        "stray": "is not in the manifest",
    }


@pytest.mark.parametrize("content", [None, "{", '{"algorithm": "Mine", "format_version": 2}', '{"surprise": 1}'])
def test_an_unusable_manifest(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST_FILE).write_text(content)

    with pytest.raises(ManifestError, match=MANIFEST_FILE):
        Manifest.read(tmp_path)


def test_changes_are_named_without_values() -> None:
    manifest = Manifest(algorithm="Mine", source_hash="a", hyperparameters={"rate": "0.5", "epochs": "3"})

    assert manifest.changes(source_hash="a", hyperparameters={"rate": "0.5", "epochs": "3"}) == []
    assert manifest.changes(source_hash=None, hyperparameters={"rate": "0.5", "epochs": "3"}) == []
    told = manifest.changes(source_hash="b", hyperparameters={"rate": "0.25", "epochs": "3", "secret": "x"})
    assert [each.partition(":")[0] for each in told] == [
        "the source files of the algorithm have changed since it was trained",
        "hyperparameters differ from those that it was trained with",
    ]
    assert told[1].endswith("rate, secret")
    hidden = Manifest(algorithm="Mine", hyperparameters={"rate": None})
    assert hidden.changes(source_hash="b", hyperparameters={"rate": "1"}) == []
