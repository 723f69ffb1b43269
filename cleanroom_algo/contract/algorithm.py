"""Finding an algorithm and the classes it defines."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import AlgorithmClassError, AlgorithmImportError, AlgorithmNotFoundError

ENTRY_FILE = "algorithm.py"
_WAYS = (
    f"a Python file, a folder that holds {ENTRY_FILE}, or the name of an importable module; or a folder with programs "
    "named `train` and `serve`; or one with scripts: SAGEMAKER_PROGRAM names the one that trains, inference.py serves"
)

T = TypeVar("T")


def algorithm_file(source: str | Path) -> Path | None:
    """Return the file of an algorithm given by path, or None where `source` is a module name.

    Args:
        source: a Python file, a folder that holds algorithm.py, or the dotted name of an importable module.

    Raises:
        AlgorithmNotFoundError: it looks like a path and nothing usable is there.
    """
    path = Path(source)
    if path.is_file() and path.suffix == ".py":
        return path.resolve()
    if path.is_dir() and (path / ENTRY_FILE).is_file():
        return (path / ENTRY_FILE).resolve()
    dotted = path.suffix != ".py" and all(part.isidentifier() for part in str(source).split("."))
    if dotted and not path.exists():
        return None
    scripts = sorted(each.name for each in path.glob("*.py")) if path.is_dir() else []
    fix = "correct the path of the algorithm (in a container: CLEANROOM_ALGO_ALGORITHM)"
    if scripts:
        script = "train.py" if "train.py" in scripts else scripts[0]
        fix = f"name the file of the Trainer {ENTRY_FILE}; in script mode, add --environment SAGEMAKER_PROGRAM={script}"
    raise AlgorithmNotFoundError(
        f"the folder {str(source)!r} has no {ENTRY_FILE}"
        if path.is_dir()
        else f"there is {'no Python file' if path.exists() else 'nothing'} at {str(source)!r}",
        expected=_WAYS,
        fix=fix,
    )


def is_spelled_as_path(algorithm: str | Path) -> bool:
    """Whether a text that names no file was meant as a path: names of images do not begin or end like this."""
    return (
        isinstance(algorithm, Path)
        or algorithm.endswith((".py", "/"))
        or algorithm.startswith(("/", ".", "~", "file:"))
    )


def source_hash(source: str | Path) -> str | None:
    """Return the SHA-256 of an algorithm's sources, or None for a module given by name.

    The hash covers the file, or all Python files below a folder. It does not depend on their names, because a single
    file has another name in an image.

    Raises:
        AlgorithmNotFoundError: it looks like a path and nothing usable is there.
    """
    file = algorithm_file(source)
    if file is None:
        return None
    files = [file] if Path(source).is_file() else file.parent.rglob("*.py")
    contents = sorted(hashlib.sha256(each.read_bytes()).digest() for each in files if each.is_file())
    return hashlib.sha256(b"".join(contents)).hexdigest()


def load_algorithm(source: str | Path) -> ModuleType:
    """Import an algorithm; exceptions of its own code are not caught.

    The folder of a file comes first on `sys.path`, so that the algorithm can import its neighbours.

    Raises:
        AlgorithmNotFoundError: nothing importable is there.
    """
    file = algorithm_file(source)
    if file is None:
        return _import_by_name(str(source))
    name = file.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # classes are pickled by module name when ranks start
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def place_of(error: BaseException, source: str | Path) -> str:
    """Return the file and line of the algorithm that an exception passed through last, "" if there is none."""
    folder = Path(algorithm_file(source) or source).resolve().parent
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        return f"{Path(error.filename).relative_to(folder)}:{error.lineno}"
    own = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(folder)]
    return f"{Path(own[-1].filename).relative_to(folder)}:{own[-1].lineno}" if own else ""


def import_error(error: BaseException, place: str) -> AlgorithmImportError:
    """Return the error of an algorithm that raised at this place while it was imported."""
    why = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    return AlgorithmImportError(
        f"{place}: {why}" if place else why,
        expected="a file that can be imported where the algorithm runs",
        fix="correct the line, or install the package that it imports; an image installs the packages in "
        "requirements.txt",
    )


def find_class(module: ModuleType, base: type[T]) -> type[T]:
    """Return the one class that a module defines on top of `base`.

    Where several build on each other, the most derived one is returned.

    Raises:
        AlgorithmClassError: there is none, or several that do not build on each other.
    """
    defined = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    fitting = [kind for kind in defined if issubclass(kind, base) and not inspect.isabstract(kind)]
    leaves = [kind for kind in fitting if not any(other is not kind and issubclass(other, kind) for other in fitting)]
    if len(leaves) == 1:
        return leaves[0]
    names = ", ".join(kind.__name__ for kind in leaves or defined) or "no classes"
    what = f"{module.__name__} defines {len(leaves)} subclasses of {base.__name__}"
    raise AlgorithmClassError(
        f"{what}; found: {names}",
        expected=f"exactly one subclass of {base.__name__} in the algorithm's own file",
        fix=f"define one class as `class Mine({base.__name__})`" if not leaves else "move the others to another file",
    )


def _import_by_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A missing import inside the algorithm is the algorithm's own error.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    raise AlgorithmNotFoundError(
        f"no module {name!r} can be imported{did_you_mean(name, sys.modules)}",
        expected="the name of an installed module, or the path of a Python file or folder",
        fix="correct the name, or use the path of the algorithm",
    )
