"""The project file: `[tool.cleanroom-algo]` of a pyproject.toml, for frequently used channels and options."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cleanroom_algo.errors import InputFileError

if TYPE_CHECKING:
    from cleanroom_algo.errors import Problem

FILE: Final = "pyproject.toml"
_TABLE: Final = "cleanroom-algo"
_KINDS: Final[Mapping[str, type]] = {
    "algorithm": str,
    "home": str,
    "channels": dict,
    "hyperparameters": dict,
    "environment": dict,
    "name": str,
    "hosts": int,
    "distribution": str,
    "objects": int,
    "input-mode": str,
    "instance-type": str,
    "entrypoint": str,
    "arguments": str,
    "max-runtime": int,
}
"""The keys: options of `train`, and `home`, which all commands have."""
_APART: Final = ("algorithm", "home", "channels", "hyperparameters", "environment")
_WORDS: Final = {str: "a text", int: "a whole number", dict: "a table"}


class Project:
    """The content of the project file.

    Attributes:
        path: of the file; None if there is none.
        values: by key.
    """

    def __init__(self, path: Path | None, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = values

    def place(self, text: str) -> str:
        """Return a path relative to the file's folder as an absolute one; other texts are returned unchanged."""
        if self.path is None or text.startswith(("s3://", "room:")):
            return text
        path = self.path.parent / text
        return str(path) if path.exists() else text

    @property
    def algorithm(self) -> str | None:
        """A file, a folder or an image."""
        found = self.values.get("algorithm")
        return None if found is None else self.place(found)

    @property
    def home(self) -> Path | None:
        """The state folder."""
        found = self.values.get("home")
        return None if found is None or self.path is None else self.path.parent / found

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys that are options of `train` with a single value."""
        return {key: value for key, value in self.values.items() if key not in _APART}

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Texts unchanged, other values as JSON."""
        from cleanroom_algo.contract.hyperparameters import as_texts

        return as_texts(self.values.get("hyperparameters", {}))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the containers."""
        return dict(self.values.get("environment", {}))

    @property
    def channels(self) -> dict[str, str]:
        """Paths, URIs or `room:NAME` by the name of the channel."""
        return {name: self.place(text) for name, text in self.values.get("channels", {}).items()}

    def unusable(self, problems: Sequence[Problem]) -> InputFileError:
        """Return the error of a table with problems."""
        return InputFileError(
            f"[tool.{_TABLE}] of {self.path} cannot be used",
            expected=f"keys from this list: {', '.join(_KINDS)}",
            fix="correct the table",
            problems=problems,
        )


NO_PROJECT: Final = Project(None, {})
"""The project if there is no project file."""


def project_of(folder: Path) -> Project:
    """Return the project of a folder: that of the nearest pyproject.toml with the table, in it or above it.

    Raises:
        InputFileError: CR-CLI-003, the table has unknown keys or values.
    """
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file() and (values := _table(path)) is not None:
            project = Project(path, values)
            if problems := list(_faults(values)):
                raise project.unusable(problems)
            return project
    return NO_PROJECT


def _table(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text).get("tool", {}).get(_TABLE) if _TABLE in text else None
    except tomllib.TOMLDecodeError as error:
        raise InputFileError(f"{path} is not TOML: {error}", expected="a TOML file", fix="correct the line") from None
    except (OSError, UnicodeError):  # a file of other tools, which report its errors
        return None


def _faults(values: Mapping[str, Any]) -> Iterator[Problem]:
    from cleanroom_algo.contract.suggestions import did_you_mean
    from cleanroom_algo.errors import Problem

    if not isinstance(values, dict):
        yield Problem("", "is not a table")
        return
    for key, value in values.items():
        kind = _KINDS.get(key)
        if kind is None:
            yield Problem(key, f"is not a key{did_you_mean(key, _KINDS)}")
        elif not isinstance(value, kind) or isinstance(value, bool):
            yield Problem(key, f"is not {_WORDS[kind]}")
        elif key in {"channels", "environment"}:
            yield from (
                Problem(f"{key}.{name}", "is not a string")
                for name, each in values[key].items()
                if not isinstance(each, str)
            )
