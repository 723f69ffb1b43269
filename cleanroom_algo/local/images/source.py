"""Checks an algorithm's Python files for what would fail in the clean room; none of them is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom_algo.contract.algorithm import ENTRY_FILE
from cleanroom_algo.contract.environment import PROGRAM_VARIABLE
from cleanroom_algo.contract.script import INFERENCE_SCRIPT, defines_serving
from cleanroom_algo.local.hosts.protocol import Verb
from cleanroom_algo.local.images.findings import Finding, Severity
from cleanroom_algo.local.images.modules import Source, last_name, name_of, reached

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
_FILE_FORMATS = {"csv", "json", "parquet", "text", "arrow", "imagefolder", "audiofolder"}  # load_dataset reads files
_DEBUGGERS = {"breakpoint", "set_trace", "pdb.set_trace", "ipdb.set_trace", "pudb.set_trace", "code.interact"}
_DEBUGGERS |= {"builtins.breakpoint", "IPython.embed"}
_WRITABLE = ("/opt/ml/model", "/opt/ml/output", "/opt/ml/checkpoints", "/tmp", "/dev/")  # noqa: S108 (the container's)
_MODEL = "/opt/ml/model"
_WRITING_METHODS = {"write_text", "write_bytes", "mkdir", "touch"}
_SCRIPT = "train.py"  # the usual name of a script that trains
_LARGE_BYTES = 100 * 10**6
_TRAINING = Path(__file__).parents[2] / "training"
_ENTRIES: dict[Verb, str] = {"train": "Trainer", "serve": "Predictor"}
# How a program that is not a Trainer reads its hyperparameters: the file, or the toolkit's variables.
_READS_HYPERPARAMETERS = re.compile(r"hyperparameters|SM_HP|sagemaker_training|cleanroom_algo\.training")
_READS_OPTIONS = re.compile(r"argparse|sys\.argv|\bclick\b|\$[1-9@]")


@dataclass(frozen=True)
class Sources:
    """The files of an algorithm.

    Attributes:
        algorithm: its file or folder.
        files: algorithm.py and what it imports, or all files if another program may run any of them.
        broken: files that are not valid Python, with the reason.
        is_script: whether scripts, not classes or programs, train and serve.
        script: the script that trains; None if it is not known.
        named: whether the job or the image names it.
    """

    algorithm: Path
    files: tuple[Source, ...]
    broken: dict[Path, Exception]
    is_script: bool
    script: Path | None
    named: bool

    @property
    def root(self) -> Path:
        """The folder in which the algorithm finds its modules."""
        return self.algorithm.parent if self.algorithm.is_file() else self.algorithm

    @property
    def classes(self) -> list[tuple[Source, ast.ClassDef]]:
        """All classes, each with the file that defines it."""
        return [(source, kind) for source in self.files for kind in source.classes]

    @property
    def scripts(self) -> list[Path]:
        """The Python files directly in the folder."""
        return [source.path for source in self.files if source.path.parent == self.root]

    def has(self, verb: Verb) -> bool:
        """Whether the algorithm can train or serve."""
        if self.algorithm.is_dir() and (self.algorithm / verb).is_file():
            return True
        if self.is_script and (self.script is not None if verb == "train" else any(map(defines_serving, self.scripts))):
            return True
        return any(_builds_on(source, kind, _ENTRIES[verb]) for source, kind in self.classes)


def read_sources(algorithm: Path, program: str | None = None, *, named: bool | None = None) -> Sources:
    """Read an algorithm's file or folder.

    Args:
        algorithm: the file or folder.
        program: the value of SAGEMAKER_PROGRAM: the script that trains.
        named: whether an image names a script; None if it is not an image, for which scripts are searched.
    """
    root = algorithm.parent if algorithm.is_file() else algorithm
    broken: dict[Path, Exception] = {}
    starts = [algorithm] if algorithm.is_file() else _start_files(algorithm)
    own = [root / program] if program and (root / program).is_file() else []
    files = tuple(reached([*starts, *own], root, broken))
    found = Sources(algorithm, files, broken, bool(program or named), own[0] if own else None, bool(program or named))
    if found.is_script or named is not None or (algorithm / ENTRY_FILE).is_file():
        return found
    if found.has("train") or (algorithm.is_file() and found.has("serve")):
        return found
    likely = [path for path in found.scripts if path.name != INFERENCE_SCRIPT]
    script = next((path for path in likely if path.name == _SCRIPT or len(likely) == 1), None)
    return replace(found, is_script=True, script=script)


def _start_files(folder: Path) -> list[Path]:
    """Return the files of a folder that the container starts or imports; all files if these are not known."""
    entry = folder / ENTRY_FILE
    if entry.is_file() and not any((folder / verb).is_file() for verb in _ENTRIES):
        return [entry]
    # By their names, or by the first line of `train` and `serve`.
    programs = [path for verb in _ENTRIES for path in sorted(folder.rglob(verb)) if b"python" in _script_line(path)]
    return [*sorted(path for path in folder.rglob("*.py") if path.is_file()), *programs]


def check_sources(sources: Sources, *, entries: bool = True, only: Verb | None = None) -> Iterator[Finding]:
    """Yield the findings in an algorithm's files.

    Args:
        sources: what was read.
        entries: whether it must contain what trains and serves; an image may contain them elsewhere.
        only: the one that it must contain; None: both.
    """
    for path, error in sources.broken.items():
        name, line = path.relative_to(sources.root).as_posix(), getattr(error, "lineno", None)
        yield Finding("error", "syntax", f"{name}:{line}" if line else name, "is not Python", "correct the file")
    for source in sources.files:
        yield from _check_file(source, sources)
    yield from _check_declared_hyperparameters(sources.files)
    if only != "serve" and (not entries or sources.has("train")):
        yield from _check_read_hyperparameters(sources)
    if entries and not sources.broken:
        yield from (_check_scripts if sources.is_script else _check_entries)(sources, only)
    if sources.algorithm.is_dir():
        yield from _check_sizes(sources.algorithm)


def _script_line(path: Path) -> bytes:
    """Return the first line of a script, which names its interpreter; b"" for other files."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        first = file.readline(200)
    return first if first.startswith(b"#!") else b""


def _check_file(source: Source, sources: Sources) -> Iterator[Finding]:
    yield from _check_imports(source)
    is_program = not any(_builds_on(each, kind, base) for base in _ENTRIES.values() for each, kind in sources.classes)
    for call, conditional in source.calls(is_program=is_program):
        yield from _check_call(source, call, gets_word=not sources.is_script)
        yield from _check_debugger(source, call, conditional)
    for part in [source.tree] if source.path.name == "serve" else source.classes:
        if part is source.tree or (isinstance(part, ast.ClassDef) and _builds_on(source, part, "Predictor")):
            yield from _check_serving(source, part)


def _check_imports(source: Source) -> Iterator[Finding]:
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
                f"{module} is imported; the clean room has no network",
                "put the files into the image, or provide them in a channel",
            )


def _check_serving(source: Source, part: ast.AST) -> Iterator[Finding]:
    for call in (node for node in ast.walk(part) if isinstance(node, ast.Call)):
        for path in _written_paths(source, call):
            if path.startswith(_MODEL):
                yield writes_model(path, f"{source.name}:{call.lineno}")


def writes_model(path: str, where: str) -> Finding:
    """Return the finding that serving writes into the model's folder."""
    what = f"writes to {path}, and {_MODEL} cannot be written to in an inference job"
    return Finding("error", "writes-model", where, what, "write to /tmp, or let training store it with the model")


def _check_debugger(source: Source, call: ast.Call, conditional: bool) -> Iterator[Finding]:
    origin = source.origin(call.func)
    if origin in _DEBUGGERS:
        what = f"{origin} waits for input at a terminal, which a container does not have: it ends the job"
        fix = "remove it; `cleanroom-algo train --debug` runs the algorithm in your terminal"
        yield Finding("warning" if conditional else "error", "debugger", f"{source.name}:{call.lineno}", what, fix)


def _check_call(source: Source, call: ast.Call, *, gets_word: bool) -> Iterator[Finding]:
    origin, where = source.origin(call.func), f"{source.name}:{call.lineno}"
    last = origin.rpartition(".")[2]
    words = " ".join(_texts(call))
    if "pip install" in words or "pip3 install" in words:
        what, fix = "pip runs when the container starts, but no package index can be reached", "install in the image"
        yield Finding("error", "pip-at-run-time", where, what, f"{fix}: name the package in requirements.txt")
    if _downloads(origin, call):
        what = f"{last} downloads when the container runs; the clean room has no network"
        fix = "download the files when the image is built and use the path of the folder, or provide them in a channel"
        yield Finding("error", "network", where, what, fix)
    if origin == "torch.load" and not _is_given(call, "weights_only", True):
        what = "torch.load without weights_only=True runs any code in the file"
        yield Finding("warning", "pickle", where, what, "pass weights_only=True, or store weights as safetensors")
    takes_argv = origin == "argparse.ArgumentParser.parse_args" and not call.args and not call.keywords
    if gets_word and takes_argv and not _declares_positional(source.tree):
        what = "parse_args ends the container with exit status 2 when the platform passes the word `train`"
        yield Finding("error", "argparse", where, what, "call parse_known_args, or declare a positional argument")
    for path in _written_paths(source, call):
        if path.startswith("/") and not path.startswith(_WRITABLE):
            what = f"writes to {path}; only /opt/ml/model and /opt/ml/output/data leave the container"
            yield Finding(
                "warning", "writes-elsewhere", where, what, "write below /opt/ml/model or /opt/ml/output/data"
            )


def _downloads(origin: str, call: ast.Call) -> bool:
    """Whether a call downloads: it gets a literal name, which is not that of existing files."""
    first = next(iter(_texts(call)), "")
    if _is_given(call, "local_files_only", True) or first.startswith(("/", ".")):
        return False
    if origin == "torch.hub.load":
        return not _is_given(call, "source", "local")
    last = origin.rpartition(".")[2]
    return last in _DOWNLOADS and bool(first) and not (last == "load_dataset" and first in _FILE_FORMATS)


def _check_declared_hyperparameters(sources: Sequence[Source]) -> Iterator[Finding]:
    """Find declared fields that neither the algorithm nor the Trainer uses as an attribute or by name."""
    read = {
        node.attr if isinstance(node, ast.Attribute) else str(node.value)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }
    for source in sources:
        for statement in _declared(source):
            if statement.target.id not in read and not _library_reads(statement.target.id):
                yield Finding(
                    "warning",
                    "hyperparameter-not-read",
                    f"{source.name}:{statement.lineno}",
                    f"the hyperparameter {statement.target.id} is declared, and nothing reads it",
                    f"use self.params.{statement.target.id}, or remove it",
                )


def _declared(source: Source) -> Iterator[Any]:
    """Yield the statements that declare hyperparameters."""
    for kind in source.classes:
        if "Hyperparameters" in [last_name(base) for base in kind.bases]:
            fields = (each for each in kind.body if isinstance(each, ast.AnnAssign))
            yield from (each for each in fields if isinstance(each.target, ast.Name))


def _library_reads(name: str) -> bool:
    found = re.compile(rf"\.{name}\b|[\"']{name}[\"']")
    return any(found.search(path.read_text(encoding="utf-8")) for path in _TRAINING.rglob("*.py"))


def _check_read_hyperparameters(sources: Sources) -> Iterator[Finding]:
    """Find programs that do not read the request's hyperparameters; a Trainer reads them itself.

    Only a script of script mode gets them as options: an image's own program gets the word `train`, or the arguments
    of the configured algorithm, which are the same in every job.
    """
    if any(_builds_on(source, kind, "Trainer") for source, kind in sources.classes):
        return
    programs = [path for path in sorted(sources.algorithm.rglob("train")) if _script_line(path)]
    files = {path: path.relative_to(sources.root).as_posix() for path in programs}
    files |= {source.path: source.name for source in sources.files}
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    options = _READS_OPTIONS.search(text) is not None
    if files and not _READS_HYPERPARAMETERS.search(text) and not (sources.is_script and options):
        what = "nothing reads the hyperparameters of the request"
        what += ", because the program of an image does not get them as options" if options else ""
        fix = "read input/config/hyperparameters.json, or SM_HPS of script mode"
        yield Finding("warning", "hyperparameter-not-read", next(iter(files.values())), what, fix)


def _check_scripts(sources: Sources, only: Verb | None) -> Iterator[Finding]:
    """Find what prevents scripts from training and serving."""
    name = sources.algorithm.name
    train = [path.name for path in sources.scripts if path.name != INFERENCE_SCRIPT]
    if train and only != "serve" and not sources.named:
        what = f"there is neither {ENTRY_FILE} nor a program `train`: a script trains only if the job names it"
        script = sources.script.name if sources.script else train[0]
        fix = f"set {PROGRAM_VARIABLE}={script} in the request's environment, or in the image"
        yield Finding("warning", "no-train", name, what, fix)
    elif not train and (only == "train" or (only is None and not sources.has("serve"))):
        what = f"there is neither {ENTRY_FILE}, nor a program `train`, nor a script"
        yield Finding("error", "no-train", name, what, "add one of them: see `cleanroom-algo init --list`")
    if only != "train" and not sources.has("serve"):
        what = f"there is no {ENTRY_FILE}, no program `serve`, and no script that defines model_fn"
        severity: Severity = "error" if only == "serve" else "warning"
        yield Finding(severity, "no-serve", name, what, f"add {INFERENCE_SCRIPT} with model_fn and predict_fn")


def _check_entries(sources: Sources, only: Verb | None) -> Iterator[Finding]:
    lacks_both = not any(sources.has(verb) for verb in _ENTRIES)
    for verb, base in _ENTRIES.items():
        program = sources.algorithm / verb
        if only not in (None, verb):
            continue
        if sources.algorithm.is_dir() and program.is_file():
            if not program.stat().st_mode & 0o111:
                yield Finding("error", f"no-{verb}", verb, "is not executable", f"chmod +x {verb}")
        elif not sources.has(verb):
            what = f"there is no subclass of {base} and no program `{verb}`"
            fix = f"define one class as `class Mine({base})`, or add an executable named {verb}"
            other = "serve" if verb == "train" else "train"
            if not lacks_both and only is None:
                fix += f"; if it is not meant to {verb}, check it with --only {other}"
            severity: Severity = "error" if only == verb or (lacks_both and verb == "train") else "warning"
            yield Finding(severity, f"no-{verb}", sources.algorithm.name, what, fix)


def _check_sizes(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size > _LARGE_BYTES:
            what = f"{path.stat().st_size / 10**6:.0f} MB would be part of the image, which every instance loads"
            where = path.relative_to(folder).as_posix()
            yield Finding("warning", "size", where, what, "provide data in a channel, and keep it out of this folder")


def _builds_on(source: Source, kind: ast.ClassDef, base: str) -> bool:
    """Whether a class has a base with this name or a variant of it, such as XGBoostTrainer."""
    return any((source.origin(each) or name_of(each)).endswith(base) for each in kind.bases)


def _texts(call: ast.Call) -> list[str]:
    """Return the words among a call's own arguments: texts, and texts in lists and tuples."""
    found = []
    for argument in call.args:
        parts = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
        found += [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return found


def _declares_positional(tree: ast.Module) -> bool:
    """Whether a positional argument is declared, which would get the word of the platform."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and last_name(node.func) == "add_argument")
    return any(not text.startswith("-") for call in calls for text in _texts(call)[:1])


def _is_given(call: ast.Call, name: str, value: object) -> bool:
    """Whether an argument is set to this constant."""
    constants = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
    return constants.get(name) == value


def _written_paths(source: Source, call: ast.Call) -> Iterator[str]:
    """Yield the literal paths that a call writes to: open(PATH, "w"), Path(PATH).write_text(...), os.makedirs(PATH)."""
    texts, last = _texts(call), source.origin(call.func).rpartition(".")[2]
    if last == "open" and len(texts) > 1 and set(texts[1]) & set("wax+"):
        yield texts[0]
    if last == "makedirs" and texts:
        yield texts[0]
    if last in _WRITING_METHODS and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        inner = call.func.value
        if last_name(inner.func) == "Path":
            yield from _texts(inner)[:1]
