"""Cutting one object into several: no row is lost, and each object is one that the service could have written."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cleanroom_algo.errors import ChannelDataError
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.cutting import cut_source
from tests.cli.support import run
from tests.local.support import algorithm_folder

ROWS = pl.DataFrame({"n": range(10), "text": ["a\nb", 'c"d', "e,f", "", "g"] * 2, "x": [0.1] * 10})


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_all_rows_in_their_order(tmp_path: Path, form: str) -> None:
    file = tmp_path / f"rows.{form}"
    forms: dict[str, Any] = {
        "csv": (ROWS.write_csv, pl.read_csv),
        "jsonl": (ROWS.write_ndjson, pl.read_ndjson),
        "parquet": (ROWS.write_parquet, pl.read_parquet),
    }
    write, read = forms[form]
    write(file)
    if form != "parquet":
        file.write_bytes(file.read_bytes().rstrip(b"\n"))  # the last row may have no end
    with Room(tmp_path / "home") as room:
        folder = cut_source(room.workspace, "train", file, 3)
        assert cut_source(room.workspace, "train", file, 3) == folder
        assert isinstance(folder, Path)
        parts = sorted(folder.iterdir())
        assert len(parts) == 3
        assert all(part.name.startswith(f"part-{number:05}-") for number, part in enumerate(parts))
        found = pl.concat([read(part) for part in parts])
        assert found["n"].to_list() == list(range(10))
        assert found["text"].fill_null("").to_list() == ROWS["text"].to_list()
        for refused, objects in ((file, 11), (folder, 3), (tmp_path, 2)):
            (tmp_path / "other.csv").write_text("a,b\nc,d\n")
            with pytest.raises(ChannelDataError):
                cut_source(room.workspace, "train", refused, objects)
        with pytest.raises(ChannelDataError, match="may be a header or a row"):
            cut_source(room.workspace, "train", tmp_path / "other.csv", 2)
        assert not [path for path in room.workspace.files.frames.iterdir() if path.name.startswith(".")]


def test_the_command_cuts_and_says_when_it_should(tmp_path: Path) -> None:
    algorithm = algorithm_folder(tmp_path / "algorithm")
    ROWS.write_csv(tmp_path / "rows.csv")
    words = ("plan", algorithm, "--channel", tmp_path / "rows.csv", "--home", tmp_path / "home")
    sharded = ("--print-request", "--hosts", 2, "--distribution", "ShardedByS3Key")
    alone, cut = run(*words, *sharded), run(*words, *sharded, "--objects", 4)
    assert "note: channel train is one object, and the service writes several; with ShardedByS3Key" in alone.stderr
    assert alone.stderr.endswith("; --objects 4 divides it\n")
    assert cut.stderr == ""
    assert cut.json["dataChannels"][0]["mlInputChannelArn"] != alone.json["dataChannels"][0]["mlInputChannelArn"]
