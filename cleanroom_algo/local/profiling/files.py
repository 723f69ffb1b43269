"""The format of files, and for CSV the delimiter and the header."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.csv.dialect import dialect_of
from cleanroom_algo.channels.formats.csv.rows import rows
from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC, gunzip
from cleanroom_algo.channels.formats.registry import find_reader
from cleanroom_algo.channels.hints import ONE_NAME
from cleanroom_algo.channels.objects import Object, file_chunks, readable
from cleanroom_algo.channels.schema import Column, Csv, Schema
from cleanroom_algo.errors import ColumnsMismatchError, Problem

_DELIMITERS: Final = ("\t", ";", "|", ",")  # the comma comes last, because it also occurs in numbers and texts
_SAMPLE_BYTES: Final = 256 << 10
_SAMPLE_ROWS: Final = 200
_NO_NAME: Final = re.compile(
    r"[+-]?[0-9.,]+(?:[eE][+-]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|true|false", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Form:
    """The format of the files in a folder.

    Attributes:
        format: its name in messages.
        csv: the declaration for CSV.
        names: of the columns, in order; "" for one without a name.
        unsure: whether the first line of CSV may be a row.
    """

    format: str
    names: tuple[str, ...]
    csv: Csv = field(default_factory=Csv)
    unsure: bool = False

    @property
    def has_names(self) -> bool:
        """Whether the files name their columns, so that a schema can leave some out."""
        return self.csv.header != "none"

    def schema(self, columns: dict[str, Column]) -> Schema:
        """Return the schema of some of the columns."""
        kept = [columns[name] for name in self.names if name in columns]
        return Schema(kept, csv=self.csv, extra_columns="fault" if len(kept) == len(self.names) else "ignore")


def form_of(obj: Object) -> Form:
    """Return the format of an object, from its beginning.

    Raises:
        UnknownFormatError: CR-CHN-004. ObjectUnreadableError: CR-CHN-003.
        ColumnsMismatchError: CR-SCH-003, two columns have the same name.
    """
    with readable(obj):
        chunks = file_chunks(obj, first=_SAMPLE_BYTES)
        head = next(chunks, b"")
        if head.startswith(GZIP_MAGIC):
            head = next(gunzip(itertools.chain([head], chunks), source=obj.name), b"")[:_SAMPLE_BYTES]
    name = find_reader(head, source=obj.name).name
    if name == "Parquet":
        form = Form(name, tuple(pl.read_parquet_schema(obj.path)))
    elif name == "JSON Lines":
        whole = head[: head.rfind(b"\n") + 1] or head
        form = Form(name, tuple(pl.read_ndjson(io.BytesIO(whole), infer_schema_length=None).columns))
    else:
        form = _csv_form(head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    twice = [name for name, count in Counter(form.names).items() if name and count > 1]
    if twice:
        raise ColumnsMismatchError(
            f"{obj.name}: several columns have the same name",
            expected="columns with unique names",
            fix=ONE_NAME,
            problems=[Problem(f"{obj.name}:1:{name}", "occurs more than once") for name in twice],
        )
    return form


def _csv_form(text: str) -> Form:
    whole = text[: text.rfind("\n") + 1] or text
    _, _, delimiter, table = max(map(_cut, [whole] * len(_DELIMITERS), _DELIMITERS), key=lambda cut: cut[:2])
    if not table:
        return Form("CSV", ())
    first, others = table[0], table[1:]
    csv = Csv(delimiter=delimiter)
    columns = list(zip(*others, strict=True)) if others else [()] * len(first)
    if any(_NO_NAME.fullmatch(name.strip()) for name in first) or "" in first[1:-1]:
        return Form(
            "CSV", tuple(f"column_{at}" for at in range(1, len(first) + 1)), Csv(header="none", delimiter=delimiter)
        )
    numbers = (sum(_NO_NAME.fullmatch(value) is not None for value in column) for column in columns)
    is_text = not any(2 * count > len(others) for count in numbers)
    return Form("CSV", tuple(first), csv, unsure=is_text)


def _cut(text: str, delimiter: str) -> tuple[float, int, str, list[tuple[str, ...]]]:
    """Return how well a delimiter divides a text, a number that orders equal ones, and its rows of one width."""
    dialect = dialect_of(Schema([Column("any", "text")], csv=Csv(delimiter=delimiter)))
    found = [tuple(field or "" for field in row.fields) for row in itertools.islice(rows(text, dialect), _SAMPLE_ROWS)]
    found = [row for row in found if row != ("",)]
    width = len(found[0]) if found else 0
    table = [row for row in found if len(row) == width]
    share = len(table) / len(found) if width > 1 else 0.0
    return round(share, 1), -_DELIMITERS.index(delimiter) if width > 1 else -9 + (delimiter == ","), delimiter, table
