"""Projects to start from: each folder is a project, or its own files; `shared` contains files for all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Final

FOLDER: Final = Path(__file__).parent
_SHARED: Final = FOLDER / "shared"
_MAIN_FILES: Final = ("algorithm/algorithm.py", "algorithm/train.py", "algorithm/train")
_SCRIPT: Final = "algorithm/train.py"
_EXTENDS: Final = {"xgboost": "tabular", "lightgbm": "xgboost"}
"""Templates that have the files of another one, except for their own."""


def templates() -> dict[str, str]:
    """Return the names of all templates, each with its description."""
    folders = sorted(each for each in FOLDER.iterdir() if _main_file(each) is not None)
    return {each.name: _about(each) for each in folders}


def make_project(template: str, folder: Path, name: str) -> list[Path]:
    """Write a project, and return its files below the folder.

    Args:
        template: out of `templates`.
        folder: of the project; it is created if necessary.
        name: of the project: that of the trained model.
    """
    source = FOLDER / template
    is_script = (source / _SCRIPT).is_file()
    values = {
        "name": name,
        "about": _about(source),
        "environment": '{"SAGEMAKER_PROGRAM": "train.py"}' if is_script else "{}",
        "options": " --environment SAGEMAKER_PROGRAM=train.py" if is_script else "",
    }
    written = []
    files = {place: path for origin in _origins(template) for place, path in _files(origin)}
    for place, path in files.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        is_shared = path.is_relative_to(_SHARED)
        target.write_text(Template(text).safe_substitute(values) if is_shared else text, encoding="utf-8")
        if text.startswith("#!"):
            target.chmod(0o755)  # a wheel may not preserve it
        written.append(place)
    return written


def _origins(template: str) -> Iterator[Path]:
    """Yield the folders of a project's files; files of a later folder replace those of an earlier one."""
    yield from _origins(_EXTENDS[template]) if template in _EXTENDS else (_SHARED,)
    yield FOLDER / template


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files below a folder, each with its path in a project."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder), path


def _main_file(folder: Path) -> Path | None:
    return next((folder / name for name in _MAIN_FILES if (folder / name).is_file()), None)


def _about(folder: Path) -> str:
    main = _main_file(folder)
    assert main is not None
    return (ast.get_docstring(ast.parse(main.read_text(encoding="utf-8"))) or "").partition("\n")[0]
