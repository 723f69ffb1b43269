"""Projects to start from: each folder is one, and `shared` has what all of them get."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Template
from typing import Final

FOLDER: Final = Path(__file__).parent
_SHARED: Final = FOLDER / "shared"
_MAIN_FILES: Final = ("algorithm/algorithm.py", "algorithm/train.py", "algorithm/train")
_SCRIPT: Final = "algorithm/train.py"


def templates() -> dict[str, str]:
    """Return the names of all templates, each with what it is about."""
    folders = sorted(each for each in FOLDER.iterdir() if (each / "test_algorithm.py").is_file())
    return {each.name: _about(each) for each in folders}


def make_project(template: str, folder: Path, name: str) -> list[Path]:
    """Write a project, and return its files below the folder.

    Args:
        template: out of `templates`.
        folder: of the project; it is made where it is missing.
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
    for origin in (_SHARED, source):
        for path in sorted(each for each in origin.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
            target = folder / path.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8")
            target.write_text(Template(text).safe_substitute(values) if origin == _SHARED else text, encoding="utf-8")
            if text.startswith("#!"):
                target.chmod(0o755)  # a wheel need not keep it
            written.append(target.relative_to(folder))
    return written


def _about(folder: Path) -> str:
    main = next(folder / name for name in _MAIN_FILES if (folder / name).is_file())
    return (ast.get_docstring(ast.parse(main.read_text(encoding="utf-8"))) or "").partition("\n")[0]
