"""Data for channels from Python: frames and texts become files, which jobs read like any others."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cleanroom_algo.errors import ChannelDataError
from cleanroom_algo.local.objects.listing import Source, source_of
from cleanroom_algo.local.objects.s3 import S3Prefix

if TYPE_CHECKING:
    import polars as pl

ChannelData: TypeAlias = "str | Path | S3Prefix | Mapping[str, str] | pl.DataFrame | Any"
"""A folder, a file or an s3:// URI; texts by file name; or a frame of polars or pandas."""


def channel_source(data: ChannelData, folder: Path, *, parts: int = 1) -> Source:
    """Return the location of a channel's objects; those of frames and texts are written.

    The rows of a frame become CSV with a header, like the result of a query of the service, or JSON Lines if a column
    contains lists or structs.

    Args:
        data: see `ChannelData`.
        folder: for new files; the same content always gets the same path.
        parts: into how many files a frame is divided, with consecutive rows.

    Raises:
        ChannelDataError: CR-ROM-010, the data is not valid for a channel.
    """
    if isinstance(data, str):
        return source_of(data)
    if isinstance(data, Path):
        return data.absolute()
    if isinstance(data, S3Prefix):
        return data
    files = dict(data) if isinstance(data, Mapping) else dict(_files(as_frame(data), parts))
    if not files:
        raise _unusable("an empty dictionary")
    return _write(files, folder)


def is_frame(data: ChannelData) -> bool:
    """Whether the rows are in a frame."""
    return hasattr(data, "columns") and hasattr(data, "shape")


def as_frame(data: Any) -> pl.DataFrame:
    """Return a frame of polars with the rows of any frame; missing values of pandas become nulls.

    Raises:
        ChannelDataError: CR-ROM-010, it is not a frame.
    """
    import polars as pl

    if isinstance(data, pl.DataFrame):
        return data
    if not is_frame(data):
        raise _unusable(type(data).__name__)
    # Not with polars.from_pandas, which needs pyarrow for texts.
    return pl.DataFrame({str(name): _values(data[name]) for name in data.columns}, strict=False)


def _values(column: Any) -> Any:
    missing = column.isna()
    if not missing.any() and column.dtype.kind in "biuf":
        return column.to_numpy()
    if column.dtype.kind == "f" and (column[~missing] % 1 == 0).all():  # integers with missing values
        column = column.astype("Int64")
    return [None if is_missing else value for value, is_missing in zip(column.tolist(), missing, strict=True)]


def _files(frame: pl.DataFrame, parts: int) -> Iterator[tuple[str, str]]:
    nested = any(dtype.is_nested() for dtype in frame.dtypes)
    size = max(1, -(-frame.height // parts))
    for number in range(parts):
        part = frame.slice(number * size, size)
        if nested:
            yield f"part-{number:05}.jsonl", part.write_ndjson()
        else:
            yield f"part-{number:05}.csv", part.write_csv()


def _write(files: Mapping[str, str], folder: Path) -> Path:
    digest = hashlib.sha256()
    for name, text in sorted(files.items()):
        digest.update(f"{len(name)},{len(text)},{name}{text}".encode())
    target = folder / digest.hexdigest()[:32]
    if target.is_dir():
        return target
    draft = folder / f".{uuid.uuid4().hex}"
    for name, text in files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    draft.rename(target)
    return target


def _unusable(what: str) -> ChannelDataError:
    return ChannelDataError(
        f"a channel cannot be created from {what}",
        expected="rows, or files with rows",
        fix="pass a polars or pandas DataFrame, a dictionary from file names to texts, a folder, a file or an s3:// "
        "URI",
    )
