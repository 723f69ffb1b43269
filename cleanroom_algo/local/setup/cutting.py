"""Divides one object into several, like the result of a query of the service."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC
from cleanroom_algo.errors import ChannelDataError
from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.planning.inputs import source_objects
from cleanroom_algo.local.resources.workspace import Workspace

if TYPE_CHECKING:
    from cleanroom_algo.channels.schema import Csv

_SUFFIXES: Final = {"CSV": "csv", "JSON Lines": "json"}


def cut_source(workspace: Workspace, name: str, source: Source, objects: int) -> Source:
    """Return a folder with the rows of a channel's only object in several objects, in their order.

    CSV and JSON Lines are cut where rows end, and each object of CSV gets the header; Parquet is written again.

    Args:
        workspace: of the room, which contains the folder; the same file always gets the same folder.
        name: of the channel.
        source: a file of this machine, or a folder with one file.
        objects: the number of objects, at least 2.

    Raises:
        ChannelDataError: CR-ROM-010, there are several objects, it has fewer rows, or it cannot be cut.
    """
    found = source_objects(workspace.settings, source)
    if len(found) != 1:
        raise _refused(f"channel {name} has {len(found)} objects", "omit --objects, or use one file")
    (reference,) = found
    if not isinstance(reference.place, Path):
        raise _refused(f"channel {name} is in S3", "download the object, and use the local file")
    target = workspace.files.frames / _identity(reference, reference.place, objects)
    if not target.is_dir():
        draft = target.with_name(f".{uuid.uuid4().hex}")
        draft.mkdir(parents=True)
        try:
            written = _write(reference, reference.place, objects, draft)
            if written < objects:
                raise _refused(
                    f"{reference.key} of channel {name} can be divided into {written} objects only",
                    "use a smaller number in --objects",
                )
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def _identity(reference: ObjectRef, path: Path, objects: int) -> str:
    text = f"{path.resolve()} {reference.size} {path.stat().st_mtime_ns} {objects}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _write(reference: ObjectRef, path: Path, objects: int, folder: Path) -> int:
    """Write the objects, and return their number; empty ones are left out."""
    from cleanroom_algo.channels.objects import Object
    from cleanroom_algo.local.profiling.files import form_of

    obj = Object(reference.key, path, reference.size)
    form = form_of(obj)
    if form.unsure:
        raise _refused(f"the first line of {reference.key} may be a header or a row", "divide the file yourself")
    stem = f"part-%05d-{uuid.uuid5(uuid.NAMESPACE_URL, folder.name)}-c000"
    if form.format == "Parquet":
        return _write_parquet(path, objects, str(folder / f"{stem}.snappy.parquet"))
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            raise _refused(f"{reference.key} is gzipped", "unpack it with gunzip")
        file.seek(0)
        header = file.readline() if form.format == "CSV" and form.has_names else b""
        body = folder / "body"
        with body.open("wb") as rows:
            shutil.copyfileobj(file, rows)
    written = _write_rows(body, header, form.csv, objects, str(folder / f"{stem}.{_SUFFIXES[form.format]}"))
    body.unlink()
    return written


def _write_rows(body: Path, header: bytes, csv: Csv, objects: int, target: str) -> int:
    from cleanroom_algo.channels.modes.file import split_object
    from cleanroom_algo.channels.objects import Object, file_chunks
    from cleanroom_algo.channels.schema import Column, Schema

    obj = Object(body.name, body, body.stat().st_size)
    any_text = Schema([Column("one", "text"), Column("two", "text")], csv=csv)
    splits = [each for each in split_object(obj, any_text, objects) if each.end > each.start]
    for number, split in enumerate(splits):
        with Path(target % number).open("wb") as file:
            file.write(header)
            file.writelines(file_chunks(obj, split.start, split.end))
    return len(splits)


def _write_parquet(path: Path, objects: int, target: str) -> int:
    import polars as pl

    table = pl.scan_parquet(path)
    rows = int(table.select(pl.len()).collect().item())
    cuts = sorted({rows * number // objects for number in range(objects + 1)})
    for number, (first, end) in enumerate(pairwise(cuts)):
        table.slice(first, end - first).sink_parquet(target % number, compression="snappy")
    return len(cuts) - 1


def _refused(what: str, fix: str) -> ChannelDataError:
    return ChannelDataError(what, expected="one local file with at least one row for each object", fix=fix)
