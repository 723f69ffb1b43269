"""Reading an algorithm's Python files for what would fail in the clean room; nothing of them is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cleanroom_algo.contract.algorithm import ENTRY_FILE
from cleanroom_algo.contract.script import INFERENCE_SCRIPT, defines_serving
from cleanroom_algo.local.images.findings import Finding

_PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
_NETWORK = {
    "requests",
    "httpx",
    "urllib.request",
    "urllib3",
    "aiohttp",
    "boto3",
    "botocore",
    "huggingface_hub",
    "wandb",
}
_DOWNLOADS = {"from_pretrained", "load_dataset", "snapshot_download", "hf_hub_download", "urlretrieve"}
_WRITABLE = ("/opt/ml/model", "/opt/ml/output", "/opt/ml/checkpoints", "/tmp", "/dev/")  # noqa: S108 (the container's)
_MODEL = "/opt/ml/model"
_WRITING_METHODS = {"write_text", "write_bytes", "mkdir", "touch"}
_LARGE_BYTES = 100 * 10**6
_TRAINING = Path(__file__).parents[2] / "training"
_ENTRY = "algorithm"
_ENTRIES = {"train": "Trainer", "serve": "Predictor"}
# How a program that is no Trainer gets its hyperparameters: the file, or the toolkit's variables.
_READS_HYPERPARAMETERS = re.compile(r"hyperparameters|SM_HP|sagemaker_training|cleanroom_algo\.training")
_READS_OPTIONS = re.compile(r"argparse|sys\.argv|\bclick\b|\$[1-9@]")


@dataclass
class _Source:
    path: Path
    name: str
    tree: ast.Module
    imports: dict[str, int]


def check_source(algorithm: Path, *, entries: bool = True, script: bool | None = None) -> Iterator[Finding]:
    """Yield what is found in an algorithm's file or folder.

    Args:
        algorithm: the file or folder.
        entries: whether it must hold what trains and serves; an image may have that elsewhere.
        script: whether a script trains that SAGEMAKER_PROGRAM names; None for a folder, which shows it.
    """
    named = bool(script)
    if script is None:
        script = algorithm.is_dir() and not any((algorithm / each).is_file() for each in (ENTRY_FILE, "train"))
    sources = []
    for path in [algorithm] if algorithm.is_file() else _python_files(algorithm):
        name = path.name if algorithm.is_file() else path.relative_to(algorithm).as_posix()
        try:
            sources.append(_read(path, name))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            yield Finding("error", "syntax", f"{name}:{line}" if line else name, "is not Python", "correct the file")
    sources = _reached(sources)
    for source in sources:
        yield from (each for each in _check_file(source) if not (script and each.name == "argparse"))  # gets no word
    yield from _check_declared_hyperparameters(sources)
    yield from _check_read_hyperparameters(algorithm, sources, gets_options=script)
    if entries and script:
        yield from _check_scripts(algorithm, sources, named=named)
    elif entries:
        yield from _check_entries(algorithm, sources)
    if algorithm.is_dir():
        yield from _check_sizes(algorithm)


def _python_files(folder: Path) -> list[Path]:
    """Return the files of a folder that Python runs: by their names, or by the first line of `train` and `serve`."""
    programs = [path for verb in _ENTRIES for path in sorted(folder.rglob(verb)) if b"python" in _script_line(path)]
    return [*sorted(path for path in folder.rglob("*.py") if path.is_file()), *programs]


def _script_line(path: Path) -> bytes:
    """Return the first line of a script, which names what runs it; b"" of anything else."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        first = file.readline(200)
    return first if first.startswith(b"#!") else b""


def _read(path: Path, name: str) -> _Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return _Source(path, name, tree, dict(_imports(tree)))


def _reached(sources: list[_Source]) -> list[_Source]:
    """Return algorithm.py and the files that it imports; all files where there is none, as a program may run any."""
    by_stem = {source.path.stem: source for source in sources}
    if _ENTRY not in by_stem or any((by_stem[_ENTRY].path.parent / verb).is_file() for verb in _ENTRIES):
        return sources
    reached, found = {_ENTRY}, [by_stem[_ENTRY]]
    for source in found:
        for module in source.imports:
            for stem in (set(module.split(".")) & set(by_stem)) - reached:
                reached.add(stem)
                found.append(by_stem[stem])
    return found


def _check_file(source: _Source) -> Iterator[Finding]:
    for module, line in source.imports.items():
        top = module.partition(".")[0]
        if top in _PICKLES:
            yield Finding(
                "warning",
                "pickle",
                f"{source.name}:{line}",
                f"{module} is imported; a pickled model of another party runs that party's code when it is loaded",
                "store weights as safetensors, and other values as JSON",
            )
        if module in _NETWORK or top in _NETWORK:
            yield Finding(
                "warning",
                "network",
                f"{source.name}:{line}",
                f"{module} is imported; the clean room reaches no network",
                "put what is needed into the image, or bring it in as a channel",
            )
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield from _check_call(source, node)
        serves = isinstance(node, ast.Module) and source.path.name == "serve"
        if serves or (isinstance(node, ast.ClassDef) and _builds_on(node, "Predictor")):
            yield from _check_serving(source, node)


def _check_serving(source: _Source, part: ast.AST) -> Iterator[Finding]:
    for call in (node for node in ast.walk(part) if isinstance(node, ast.Call)):
        for path in _written_paths(call, _last(call.func)):
            if path.startswith(_MODEL):
                yield writes_model(path, f"{source.name}:{call.lineno}")


def writes_model(path: str, where: str) -> Finding:
    """Return the finding that serving writes below the model's folder."""
    what = f"writes to {path}, and {_MODEL} cannot be written to in an inference job"
    return Finding("error", "writes-model", where, what, "write to /tmp, or let training store it with the model")


def _check_call(source: _Source, call: ast.Call) -> Iterator[Finding]:
    name, where = _name(call.func), f"{source.name}:{call.lineno}"
    last = name.rpartition(".")[2]
    words = " ".join(_texts(call))
    if "pip install" in words or "pip3 install" in words:
        what, fix = "pip runs when the container does; there is no package index to reach", "install in the image"
        yield Finding("error", "pip-at-run-time", where, what, f"{fix}: name the package in requirements.txt")
    if last in _DOWNLOADS or name == "torch.hub.load":
        what = f"{last} downloads when the container runs; the clean room reaches no network"
        yield Finding("error", "network", where, what, "download when the image is built, or bring it in as a channel")
    if name == "torch.load" and not any(_is_true(call, "weights_only")):
        what = "torch.load without weights_only=True runs whatever code the file holds"
        yield Finding("warning", "pickle", where, what, "pass weights_only=True, or store weights as safetensors")
    if last == "parse_args" and "argparse" in source.imports and not _declares_positional(source.tree):
        what = "parse_args ends the container with exit status 2 when the platform passes the word `train`"
        yield Finding("error", "argparse", where, what, "call parse_known_args, or declare a positional argument")
    for path in _written_paths(call, last):
        if path.startswith("/") and not path.startswith(_WRITABLE):
            what = f"writes to {path}; only /opt/ml/model and /opt/ml/output/data leave the container"
            yield Finding(
                "warning", "writes-elsewhere", where, what, "write below /opt/ml/model or /opt/ml/output/data"
            )


def _check_declared_hyperparameters(sources: list[_Source]) -> Iterator[Finding]:
    """Find declared fields that neither the algorithm nor the Trainer reads as an attribute or by name."""
    library = [_read(path, path.name) for path in _TRAINING.rglob("*.py")]
    read = {
        node.attr if isinstance(node, ast.Attribute) else str(node.value)
        for source in [*sources, *library]
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }
    for source in sources:
        for kind in ast.walk(source.tree):
            if not isinstance(kind, ast.ClassDef) or "Hyperparameters" not in [_last(base) for base in kind.bases]:
                continue
            for statement in kind.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    name = statement.target.id
                    if name not in read:
                        yield Finding(
                            "warning",
                            "hyperparameter-not-read",
                            f"{source.name}:{statement.lineno}",
                            f"the hyperparameter {name} is declared, and nothing reads it",
                            f"use self.params.{name}, or remove it",
                        )


def _check_read_hyperparameters(algorithm: Path, sources: list[_Source], *, gets_options: bool) -> Iterator[Finding]:
    """Find programs that do without the request's hyperparameters; a Trainer reads them itself.

    Only a script of script mode gets them as options: an image's own program gets the word `train`, or the arguments of
    the configured algorithm, which are the same in every job.
    """
    kinds = [kind for each in sources for kind in ast.walk(each.tree) if isinstance(kind, ast.ClassDef)]
    scripts = {
        path: path.relative_to(algorithm).as_posix() for path in sorted(algorithm.rglob("train")) if _script_line(path)
    }
    files = scripts | {source.path: source.name for source in sources}
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    options = _READS_OPTIONS.search(text) is not None
    reads = _READS_HYPERPARAMETERS.search(text) is not None or (gets_options and options)
    if files and not any(_builds_on(kind, "Trainer") for kind in kinds) and not reads:
        what = "nothing reads the hyperparameters of the request"
        what += ", which no program of an image gets as options" if options else ""
        fix = "read input/config/hyperparameters.json, or SM_HPS of script mode"
        yield Finding("warning", "hyperparameter-not-read", next(iter(files.values())), what, fix)


def _check_scripts(folder: Path, sources: list[_Source], *, named: bool) -> Iterator[Finding]:
    """Find what keeps a folder of scripts from training and serving."""
    scripts = [source.path for source in sources if source.path.parent == folder]
    train = [path.name for path in scripts if path.name != INFERENCE_SCRIPT]
    if not train:
        what = f"there is neither {ENTRY_FILE}, nor a program `train`, nor a script"
        yield Finding("error", "no-train", folder.name, what, "add one of them: see `cleanroom-algo init --list`")
    elif not named:
        what = f"there is neither {ENTRY_FILE} nor a program `train`: a script trains where the job names it"
        fix = f"set SAGEMAKER_PROGRAM={train[0]} in the request's environment, or in the image"
        yield Finding("warning", "no-train", folder.name, what, fix)
    if not (folder / "serve").is_file() and not any(map(defines_serving, scripts)):
        what = f"there is no {ENTRY_FILE}, no program `serve`, and no script that defines model_fn"
        yield Finding("warning", "no-serve", folder.name, what, f"add {INFERENCE_SCRIPT} with model_fn and predict_fn")


def _check_entries(algorithm: Path, sources: list[_Source]) -> Iterator[Finding]:
    for verb, base in _ENTRIES.items():
        program = algorithm / verb
        if algorithm.is_dir() and program.is_file():
            if not program.stat().st_mode & 0o111:
                yield Finding("error", f"no-{verb}", verb, "is not executable", f"chmod +x {verb}")
            continue
        kinds = [kind for source in sources for kind in ast.walk(source.tree) if isinstance(kind, ast.ClassDef)]
        if not any(_builds_on(kind, base) for kind in kinds):
            what = f"there is no subclass of {base} and no program `{verb}`"
            fix = f"define one class as `class Mine({base})`, or add an executable named {verb}"
            yield Finding("error" if verb == "train" else "warning", f"no-{verb}", algorithm.name, what, fix)


def _check_sizes(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size > _LARGE_BYTES:
            what = f"{path.stat().st_size / 10**6:.0f} MB would be part of the image, which every instance loads"
            where = path.relative_to(folder).as_posix()
            yield Finding("warning", "size", where, what, "bring data in as a channel; keep it out of this folder")


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return ""


def _builds_on(kind: ast.ClassDef, base: str) -> bool:
    """Whether a class has a base of this name or of a kind of it, such as XGBoostTrainer."""
    return any(_last(each).endswith(base) for each in kind.bases)


def _last(node: ast.expr) -> str:
    return _name(node).rpartition(".")[2]


def _texts(call: ast.Call) -> list[str]:
    """Return the words among a call's own arguments: texts, and texts in lists and tuples."""
    found = []
    for argument in call.args:
        parts = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
        found += [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return found


def _declares_positional(tree: ast.Module) -> bool:
    """Whether an argument without a dash is declared, which takes the platform's word."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _last(node.func) == "add_argument")
    return any(not text.startswith("-") for call in calls for text in _texts(call)[:1])


def _is_true(call: ast.Call, name: str) -> Iterator[bool]:
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            yield keyword.value.value is True


def _written_paths(call: ast.Call, last: str) -> Iterator[str]:
    """Yield the literal paths that a call writes to: open(PATH, "w"), Path(PATH).write_text(...), os.makedirs(PATH)."""
    texts = _texts(call)
    if last == "open" and len(texts) > 1 and set(texts[1]) & set("wax+"):
        yield texts[0]
    if last == "makedirs" and texts:
        yield texts[0]
    if last in _WRITING_METHODS and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        inner = call.func.value
        if _last(inner.func) == "Path":
            yield from _texts(inner)[:1]
