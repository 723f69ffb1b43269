"""Data for channels from Python: frames and texts become files, which jobs read like any others."""

from __future__ import annotations

import ast
import hashlib
import io
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.errors import ChannelDataError, InvalidSchemaError
from cleanroom_algo.local.objects.listing import Source, source_of
from cleanroom_algo.local.objects.s3 import S3Prefix

if TYPE_CHECKING:
    import polars as pl

ChannelData: TypeAlias = "str | Path | S3Prefix | Mapping[str, str] | pl.DataFrame | Any"
"""A folder, a file or an s3:// URI; texts by file name; or a frame of polars or pandas."""
PLAIN: Final = Csv()
"""CSV as a query of the service writes it."""


def channel_source(
    data: ChannelData, folder: Path, *, parts: int = 1, csv: Csv | None = PLAIN, name: str = ""
) -> Source:
    """Return the location of a channel's objects; those of frames and texts are written.

    The rows of a frame become CSV with a header, like the result of a query of the service, or JSON Lines if a column
    contains structs.

    Args:
        data: see `ChannelData`.
        folder: for new files; the same content always gets the same path.
        parts: into how many files a frame is divided, with consecutive rows.
        csv: how the CSV of a frame is written; None to write Parquet.
        name: of the channel, for messages.

    Raises:
        ChannelDataError: CR-ROM-010, the data is not valid for a channel.
    """
    if isinstance(data, str):
        return source_of(data)
    if isinstance(data, Path):
        return data.absolute()
    if isinstance(data, S3Prefix):
        return data
    if isinstance(data, Mapping):
        files = {name: text.encode() for name, text in data.items()}
    else:
        if not is_frame(data):
            raise _unusable(type(data).__name__, name)
        files = dict(_files(as_frame(data), parts, csv))
    if not files:
        raise _unusable("an empty dictionary", name)
    return _write(files, folder)


def declared_csv(algorithm: str | Path | None) -> Csv | None:
    """Return how the sources of an algorithm declare the CSV of their channels, which are not run to find it.

    Returns:
        The default if they declare nothing, and None if they declare several ways, or compute one.
    """
    path = Path(algorithm or "")
    files = [path] if path.suffix == ".py" else path.rglob("*.py") if algorithm and path.is_dir() else ()
    found = set()
    for text in (each.read_bytes() for each in files if each.is_file()):
        try:
            calls = [node for node in ast.walk(ast.parse(text)) if _calls_csv(node)] if b"Csv(" in text else []
            for call in calls:
                options = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
                found.add(Schema.of(x="bool", csv=Csv(**options)).csv)
        except (SyntaxError, ValueError, TypeError, InvalidSchemaError):  # training reports it, if it is an error
            return None
    return None if len(found) > 1 else next(iter(found), PLAIN)


def _calls_csv(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Csv.__name__


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


def _files(frame: pl.DataFrame, parts: int, csv: Csv | None) -> Iterator[tuple[str, bytes]]:
    from cleanroom_algo.channels.formats.csv.writing import csv_of

    structs = any("Struct" in str(dtype) for dtype in frame.dtypes)
    size = max(1, -(-frame.height // parts))
    for number in range(parts):
        part = frame.slice(number * size, size)
        if csv is None:
            part.write_parquet(out := io.BytesIO())
            yield f"part-{number:05}.parquet", out.getvalue()
        elif structs:
            yield f"part-{number:05}.jsonl", part.write_ndjson().encode()
        else:
            yield f"part-{number:05}.csv", csv_of(part, csv, header=csv.header != "none")


def _write(files: Mapping[str, bytes], folder: Path) -> Path:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{len(name)},{len(content)},{name}".encode() + content)
    target = folder / digest.hexdigest()[:32]
    if target.is_dir():
        return target
    draft = folder / f".{uuid.uuid4().hex}"
    for name, content in files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    draft.rename(target)
    return target


def _unusable(what: str, name: str = "") -> ChannelDataError:
    return ChannelDataError(
        f"{f'the channel {name!r}' if name else 'a channel'} cannot be created from {what}",
        expected="rows, or files with rows",
        fix="pass a polars or pandas DataFrame, a dictionary from file names to texts, a folder, a file or an s3:// "
        "URI",
    )
