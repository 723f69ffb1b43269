"""The Python files of an algorithm, and the meaning of the names in them; none of them is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

_CONDITIONS = (ast.If, ast.IfExp, ast.BoolOp, ast.ExceptHandler)


class Source:
    """One Python file.

    Args:
        path: of the file.
        root: the algorithm's folder, in which it finds its modules.

    Attributes:
        name: its path below the root.
        tree: its syntax.

    Raises:
        SyntaxError: it is not Python. ValueError: it is not text.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.name = path.relative_to(root).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self._root = root

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """All classes that it defines."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]

    @cached_property
    def imports(self) -> dict[str, int]:
        """The modules of others that it imports, each with the line of the first import."""
        found: dict[str, int] = {}
        for node, module, _ in self._imports():
            if module and not self._own_files(node, module):
                found.setdefault(module, node.lineno)
        return found

    def neighbors(self) -> Iterator[Path]:
        """Yield the files of the algorithm that it imports."""
        for node, module, alias in self._imports():
            parts = [module] if isinstance(node, ast.Import) else [module, alias.name]
            yield from self._own_files(node, ".".join(filter(None, parts)))

    def origin(self, node: ast.expr) -> str:
        """Return the full name of what is called, such as `argparse.ArgumentParser.parse_args`.

        It is "" for everything that the algorithm defines itself, including methods of it.
        """
        root, dot, rest = name_of(node).partition(".")
        stands_for = self._names.get(root, root)
        return f"{stands_for}{dot}{rest}" if stands_for else ""

    def calls(self, *, is_program: bool) -> Iterator[tuple[ast.Call, bool]]:
        """Yield each call, and whether it depends on a condition.

        Args:
            is_program: whether the code below `if __name__ == "__main__"` also runs.
        """
        waiting: list[tuple[ast.AST, bool]] = [(self.tree, False)]
        while waiting:
            node, conditional = waiting.pop()
            is_guard = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            if is_guard and not is_program:
                continue
            if isinstance(node, ast.Call):
                yield node, conditional
            inner = conditional or (isinstance(node, _CONDITIONS) and not is_guard)
            waiting += [(child, inner) for child in reversed(list(ast.iter_child_nodes(node)))]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The meaning of names, "" for those that the algorithm defines itself; other names mean themselves."""
        methods = {id(part) for kind in self.classes for part in kind.body}
        found: dict[str, str] = {}
        for node, module, alias in self._imports():
            if self._own_files(node, module or alias.name):
                found[alias.asname or alias.name.partition(".")[0]] = ""
            elif isinstance(node, ast.ImportFrom):
                found[alias.asname or alias.name] = f"{module}.{alias.name}"
            elif alias.asname:
                found[alias.asname] = alias.name
        for each in ast.walk(self.tree):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and id(each) not in methods:
                found[each.name] = ""
        for each in ast.walk(self.tree):
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call):
                root, dot, rest = name_of(each.value).partition(".")
                stands_for = found.get(root, root)
                names = [target.id for target in each.targets if isinstance(target, ast.Name)]
                found |= dict.fromkeys(names, f"{stands_for}{dot}{rest}" if stands_for else "")
        return found

    def _imports(self) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, ast.alias]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name, alias) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node, node.module or "", alias) for alias in node.names)

    def _own_files(self, node: ast.Import | ast.ImportFrom, module: str) -> list[Path]:
        """Return the files of the algorithm that run when a module is imported."""
        level = node.level if isinstance(node, ast.ImportFrom) else 0
        folders = [self.path.parents[level - 1]] if level else [self._root, self.path.parent]
        paths = [folder.joinpath(*module.split(".")[:depth]) for folder in folders for depth in range(1, 9)]
        files = (file for path in paths for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"))
        return [file for file in dict.fromkeys(files) if file.is_file()]


def reached(files: Iterable[Path], root: Path, broken: dict[Path, Exception]) -> list[Source]:
    """Return files and the files of the algorithm that they import, each once.

    Args:
        files: the first files.
        root: the algorithm's folder.
        broken: receives the files that cannot be parsed.
    """
    found: dict[Path, Source] = {}
    waiting = list(files)
    for path in waiting:
        if path in found or path in broken:
            continue
        try:
            found[path] = source = Source(path, root)
        except (SyntaxError, ValueError) as error:
            broken[path] = error
            continue
        waiting += source.neighbors()
    return list(found.values())


def name_of(node: ast.expr) -> str:
    """Return the dotted name of an expression; for a call, that of what is called."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return name_of(node.func) if isinstance(node, ast.Call) else ""


def last_name(node: ast.expr) -> str:
    """Return the last part of the name of an expression."""
    return name_of(node).rpartition(".")[2]
