"""What an exception may show to other members: what is known to be harmless, and nothing else.

A message may quote a row in any wording, so this module does not search it for what looks like a value. It shows the
name of a known class, the place in the source, and these parts of the message: literals of the statement that raises,
words of that statement, declared names, and known phrases of libraries. `<value>` replaces everything else.
What is shown is taken from the source and from fixed lists, not from the exception.
"""

from __future__ import annotations

import ast
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from cleanroom_algo import errors
from cleanroom_algo.contract.algorithm import algorithm_file
from cleanroom_algo.contract.known import CLASSES, PHRASES
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.errors.status_codes import STATUS_CODES

HIDDEN = "<value>"
_LINE_CHARACTERS = 120  # of a line of source: the failure file holds 1024 bytes in all
_SOURCE_BYTES = 4 << 20
_WORD = re.compile(r"[^\W\d]\w*")
_BETWEEN = re.compile(r"(?P<before>['\"`]?[\s:;,.]*)(?P<value>.*?)(?P<after>[\s:;,.]*['\"`]?)", re.DOTALL)
_QUOTED = re.compile(rf"(?<!\w)['\"`]+{HIDDEN}['\"`]*|{HIDDEN}['\"`]+(?!\w)")
_QUOTES = "'\"`()[]{}=*- "
_PERCENT_FIELD = re.compile(r"%(?:\(\w*\))?[^a-zA-Z%]*[a-zA-Z]")
_BRACE_FIELD = re.compile(r"\{[^{}]*\}")
_REPEATED = re.compile(rf"{HIDDEN}(?:[\s'\"`:;,.()\[\]{{}}=*-]*{HIDDEN})+")
_PRINTED_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_SCRIPTS = {".py", ".sh"}
_PLACE = re.compile(r"^  at [\w-]{1,64}\.py:\d{1,6} in [\w<>]{1,64}", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"
_PACKAGE = Path(errors.__file__).resolve().parents[1]
_COMPOUND = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.With)

Place = tuple[str, int]
"""File and line of a frame."""


class Redactor:
    """Describes exceptions without the values that they may quote.

    Args:
        folder: of the algorithm's source, whose literals and words may be shown; None if there is no source.
        names: declared names of columns, hyperparameters and tensors, which may be shown.
    """

    def __init__(self, folder: Path | None = None, names: Iterable[str] = ()) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._names = frozenset(name for name in names if name[:1].isalpha())
        self._since = time.time()
        self._sources: dict[str, _Source | None] = {}

    @classmethod
    def of(cls, algorithm: str, names: Iterable[str] = ()) -> Self:
        """Return the redactor of the algorithm that the setting `algorithm` names, even if it cannot be imported."""
        try:
            file = algorithm_file(algorithm)
            spec = None if file else find_spec(algorithm)
        except Exception:
            return cls(None, names)
        origin = file or (Path(spec.origin) if spec and spec.origin else None)
        return cls(origin.parent if origin else None, names)

    def with_names(self, names: Iterable[str]) -> Redactor:
        """Return the redactor with more declared names."""
        redactor = Redactor(self._folder, self._names.union(names))
        redactor._since = self._since
        return redactor

    def describe(self, error: BaseException) -> str:
        """Return the exception's class and message, and below them the places in the algorithm, the innermost first."""
        places = _places(error)
        if _is_ours(error, places):
            return self.with_places(str(error), error)
        return self._described(self.class_of(error), type(error).__name__, _message(error), places)

    def with_places(self, text: str, error: BaseException) -> str:
        """Return a text of this package, and below it the places in the algorithm that an exception came through."""
        return "\n".join([text, *self._shown(_places(error))])

    def class_of(self, error: BaseException) -> str:
        """Return the name of the exception's class, or of the nearest above it that is known."""
        for kind in type(error).__mro__:
            if f"{kind.__module__}.{kind.__qualname__}" in CLASSES or _is_own_class(kind):
                return kind.__name__
            file = getattr(sys.modules.get(kind.__module__), "__file__", None)
            if file and (source := self._source(file)) and kind.__name__ in source.classes:
                return kind.__name__
        return "Exception"

    def place_of(self, error: BaseException) -> str:
        """Return the innermost place in the algorithm, or "an unknown place"."""
        own = self._own(_places(error))
        return own[-1][0].place(own[-1][1]) if own else "an unknown place"

    def describe_printed(self, text: str) -> str | None:
        """Return `describe` of the last traceback that Python has printed in a text; None if there is no traceback."""
        lines = text.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(_TRACEBACK)]
        if not starts:
            return None
        places: list[Place] = []
        number = starts[-1] + 1
        while number < len(lines) and (lines[number].startswith(" ") or not lines[number]):
            if match := _PRINTED_FRAME.match(lines[number]):
                places.append((match["file"], int(match["line"])))
            number += 1
        kind, _, message = "\n".join(lines[number:]).strip().partition(": ")
        if not kind:
            return None
        last = kind.rpartition(".")[2]
        known = kind in CLASSES or f"builtins.{kind}" in CLASSES
        known = known or any(last in source.classes for source, _ in self._own(places))
        return self._described(last if known else "Exception", last, message, places)

    def describe_text(self, text: str) -> str:
        """Return a text that the algorithm wrote, with `<value>` for everything except words of its source."""
        if printed := self.describe_printed(text):
            return printed
        words: set[str] = set()
        for path in self._folder.glob("*") if self._folder else ():
            if path.suffix in _SCRIPTS and (source := self._source(str(path))):
                words.update(_WORD.findall(source.text))
        return self.known_parts(text, words)

    def known_parts(self, message: str, words: Iterable[str] = ()) -> str:
        """Return a message with `<value>` for everything except known phrases, declared names and some words."""
        allowed = self._names.union(words)
        shown, end = "", 0
        for match in self._parts.finditer(message):
            if match[0] in allowed or match[0] in self._phrases:
                shown += _hidden(message[end : match.start()]) + match[0]
                end = match.end()
        shown = _REPEATED.sub(HIDDEN, shown + _hidden(message[end:]))
        return " ".join(_QUOTED.sub(HIDDEN, shown).split())

    @cached_property
    def _phrases(self) -> frozenset[str]:
        return PHRASES | {name for name in self._names if not _WORD.fullmatch(name)}

    @cached_property
    def _parts(self) -> re.Pattern[str]:
        phrases = sorted(self._phrases, key=len, reverse=True)
        return re.compile("|".join([*(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in phrases), _WORD.pattern]))

    def _described(self, kind: str, name: str, message: str, places: Sequence[Place]) -> str:
        own = self._own(places)
        shown: str | None = None
        if own and self._source(places[-1][0]):
            shown = own[-1][0].literals(own[-1][1], name)
        if shown is None:
            shown = self.known_parts(message, own[-1][0].words(own[-1][1]) if own else ())
        return "\n".join([f"{kind}: {shown}" if shown else kind, *self._shown(places)])

    def _shown(self, places: Sequence[Place]) -> list[str]:
        own = reversed(self._own(places))
        return [f"  at {source.place(line)}: {source.line(line)[:_LINE_CHARACTERS]}" for source, line in own]

    def _own(self, places: Sequence[Place]) -> list[tuple[_Source, int]]:
        """Return the places that are in the algorithm, with its source in place of the file's name."""
        return [(source, line) for file, line in places if (source := self._source(file))]

    def _source(self, file: str) -> _Source | None:
        if file not in self._sources:
            self._sources[file] = self._read(Path(file))
        return self._sources[file]

    def _read(self, path: Path) -> _Source | None:
        """Read a file of the algorithm, unless it belongs to a library or was written after the process began."""
        try:
            path = path.resolve()
            if self._folder is None or not path.is_relative_to(self._folder) or path.is_relative_to(_PACKAGE):
                return None
            parts = path.relative_to(self._folder).parts
            status = path.stat()
            if "site-packages" in parts or status.st_ctime > self._since or status.st_size > _SOURCE_BYTES:
                return None
            return _Source(path.name, path.read_text("utf-8", errors="replace"))
        except (OSError, ValueError):
            return None


@dataclass(frozen=True)
class _Source:
    """A file of the algorithm."""

    name: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        try:
            return list(ast.walk(ast.parse(self.text)))
        except (SyntaxError, ValueError, RecursionError):
            return []

    @cached_property
    def classes(self) -> frozenset[str]:
        return frozenset(node.name for node in self.nodes if isinstance(node, ast.ClassDef))

    @cached_property
    def constants(self) -> dict[str, str]:
        """The texts that the file assigns to names, for names that are assigned once."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                text = str(node.value.value)
                found.update({target.id: text for target in node.targets if isinstance(target, ast.Name)})
        return found

    def line(self, number: int) -> str:
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def place(self, number: int) -> str:
        around = [node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = [node for node in around if node.lineno <= number <= (node.end_lineno or 0)]
        name = max(inside, key=lambda node: node.lineno).name if inside else "<module>"
        return f"{self.name}:{number} in {name}"

    def words(self, number: int) -> set[str]:
        """Return the words of the statement at a line."""
        found = set(_WORD.findall(self.line(number)))
        for statement in self._statements(number):
            if not isinstance(statement, _COMPOUND):
                found |= set(_WORD.findall(ast.get_source_segment(self.text, statement) or ""))
        return {word for word in found if len(word) > 2}  # shorter ones are in any text

    def literals(self, number: int, kind: str) -> str | None:
        """Return the text that the statement at a line raises; None if it raises nothing of this class."""
        for statement in self._statements(number):
            if isinstance(statement, ast.Assert) and kind == "AssertionError":
                return self._text(statement.msg)
            if not isinstance(statement, ast.Raise) or statement.exc is None:
                continue
            raised = statement.exc
            if isinstance(raised, ast.Call) and _last_name(raised.func) == kind:
                said = [*raised.args, *(keyword.value for keyword in raised.keywords)]
                return _REPEATED.sub(HIDDEN, ", ".join(self._text(each) for each in said))
            if _last_name(raised) == kind:
                return ""
        return None

    def _statements(self, number: int) -> Iterator[ast.stmt]:
        for node in self.nodes:
            if isinstance(node, ast.stmt) and node.lineno <= number <= (node.end_lineno or 0):
                yield node

    def _text(self, node: ast.expr | None) -> str:
        """Return the literals of an expression, with `<value>` for the rest."""
        shown = HIDDEN
        if node is None:
            shown = ""
        elif isinstance(node, ast.Constant):
            shown = str(node.value)
        elif isinstance(node, ast.Name):
            shown = self.constants.get(node.id, HIDDEN)
        elif isinstance(node, ast.JoinedStr):
            shown = "".join(self._text(part) for part in node.values)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            shown = self._text(node.left) + self._text(node.right)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            shown = _PERCENT_FIELD.sub(HIDDEN, self._text(node.left))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            shown = _BRACE_FIELD.sub(HIDDEN, self._text(node.func.value))
        return shown


def error_summary(text: str) -> str:
    """Return what other members may read of a failure: an error's code and title or a known class, and the places.

    Any container may have written the text, so nothing else in it is known to be harmless.
    """
    known = {name: name for name in (*STATUS_CODES, *(each.rpartition(".")[2] for each in CLASSES))}
    known |= {code: f"{code}  {kind.title}" for code, kind in errors.all_errors().items()}
    names = re.findall(r"[\w.-]+", text.partition("\n")[0])
    shown = dict.fromkeys(known[name] for name in names[:4] if name in known) or [HIDDEN]
    return "\n".join([": ".join(shown), *_PLACE.findall(text)])


def _is_own_class(kind: type) -> bool:
    """Whether a class is one of this package's own errors."""
    return getattr(errors, kind.__name__, None) is kind


def _is_ours(error: BaseException, places: Sequence[Place]) -> bool:
    raised_here = not places or Path(places[-1][0]).resolve().is_relative_to(_PACKAGE)
    return isinstance(error, CleanroomError) and _is_own_class(type(error)) and raised_here


def _places(error: BaseException) -> list[Place]:
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        places.append((error.filename, error.lineno))
    return places


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # its own __str__ is the algorithm's code, too
        return ""


def _hidden(text: str) -> str:
    """Return what is between known parts: its punctuation, and `<value>` if it contains more than that."""
    match = _BETWEEN.fullmatch(text)
    assert match is not None
    return match["before"] + (HIDDEN if match["value"].strip(_QUOTES) else match["value"]) + match["after"]


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
