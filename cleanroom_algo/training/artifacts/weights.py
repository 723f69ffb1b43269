"""Tensors of a base model: read from data-only formats, compared with the model, loaded completely or in part."""

from __future__ import annotations

import json
import logging
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom_algo.contract.manifest import WEIGHTS_FILE
from cleanroom_algo.errors import BaseModelNotFoundError, CleanroomError, Problem, TensorMismatchError, UnsafeFileError
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles, damage_is_told, unreadable
from cleanroom_algo.training.artifacts.tensor_file import INDEX_SUFFIX

if TYPE_CHECKING:
    from torch import Tensor, nn

OPTIMIZER_FILE = "optimizer.safetensors"
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
MAX_DIMENSIONS = 64  # of torch's own limit for most operations; reading 100,000 takes a minute
_INTEGERS = {"BININT", "BININT1", "BININT2", "LONG1"}
_STATE_KEYS = ("state_dict", "model_state_dict", "model")  # under which training scripts store the tensors

log = logging.getLogger(__name__)


def read_base_tensors(base: BaseModelFiles) -> dict[str, Tensor]:
    """Return the weights of a base model: model.safetensors, shards with an index, or the only file with tensors.

    Raises:
        BaseModelNotFoundError: CR-BAS-002, no file with tensors, or several.
        UnsafeFileError: CR-BAS-005; BaseModelUnreadableError: CR-BAS-006.
    """
    directory = base.directory
    index = directory / f"{WEIGHTS_FILE}{INDEX_SUFFIX}"
    if (directory / WEIGHTS_FILE).is_file():
        return read_safetensors(directory / WEIGHTS_FILE)
    if index.is_file():
        return _read_shards(base, index)
    found = [p for p in sorted(directory.iterdir()) if p.suffix == ".safetensors" and p.name != OPTIMIZER_FILE]
    found = found or [p for p in sorted(directory.iterdir()) if p.suffix in _TORCH_SUFFIXES]
    if len(found) != 1:
        raise BaseModelNotFoundError(
            f"the base model contains {len(found)} files with tensors",
            expected=f"{WEIGHTS_FILE}, shards of it with an index, or one file of weights",
            fix="use artifacts that a Trainer wrote, or one .safetensors file",
        )
    return read_safetensors(found[0]) if found[0].suffix == ".safetensors" else _read_torch(found[0])


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped into memory.

    Raises:
        BaseModelUnreadableError: CR-BAS-006, it is not such a file.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file

    with damage_is_told(path.name):
        with safe_open(path, framework="pt") as file:
            deepest = max((len(file.get_slice(name).get_shape()) for name in file.keys()), default=0)  # noqa: SIM118
        if deepest > MAX_DIMENSIONS:
            raise _too_deep(path.name)
        return load_file(path)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file.

    Raises:
        BaseModelUnreadableError: CR-BAS-006, it is not such a file.
    """
    from safetensors import safe_open

    with damage_is_told(path.name), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


@dataclass(frozen=True, slots=True)
class TensorReport:
    """Differences between the tensors of a base model and those of a model.

    Attributes:
        missing: names that only the model has.
        unexpected: names that only the base model has.
        mismatched: names with other shapes or types, with both.
        grown: names whose first places are filled from the base model.
        fresh: names that keep their initial values, as the algorithm allows.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Problem, ...]
    grown: tuple[str, ...]
    fresh: tuple[str, ...]


def load_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor], *, fresh: Sequence[str] = (), grow: Sequence[str] = ()
) -> TensorReport:
    """Copy the tensors of a base model into a model.

    Args:
        model: gets the values in its own types; half-precision values become float32 again.
        tensors: by name.
        fresh: patterns (fnmatch) of names that may be missing, unexpected or of another shape: they keep new values.
        grow: patterns of names that may be larger than in the base model: its values fill the first places.

    Raises:
        TensorMismatchError: CR-BAS-004, with every tensor that does not fit; the model is then unchanged.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    mismatched: list[Problem] = []
    grown: list[str] = []
    started: list[str] = [name for name in (*missing, *unexpected) if _matches(name, fresh)]
    for name in own.keys() & tensors.keys():
        mine, base = own[name], tensors[name]
        if base.shape == mine.shape and base.is_floating_point() == mine.is_floating_point():
            continue
        if _matches(name, grow) and _fits_inside(base, mine):
            grown.append(name)
        elif _matches(name, fresh):
            started.append(name)
        else:
            mismatched.append(Problem(name, f"is {_form(base)}, the model's is {_form(mine)}"))
    report = TensorReport(
        missing=tuple(name for name in missing if name not in started),
        unexpected=tuple(name for name in unexpected if name not in started),
        mismatched=tuple(sorted(mismatched, key=lambda problem: problem.path)),
        grown=tuple(sorted(grown)),
        fresh=tuple(started),
    )
    _refuse_mismatch(report)
    _copy(own, tensors, report)
    if report.fresh or report.grown:
        log.info("base model: %d tensors start with new values, %d are enlarged", len(report.fresh), len(report.grown))
    return report


def _copy(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], report: TensorReport) -> None:
    import torch

    with torch.no_grad():
        for name in own.keys() & tensors.keys():
            if name in report.grown:
                base = tensors[name]
                own[name][tuple(slice(0, size) for size in base.shape)].copy_(base)
            elif name not in report.fresh:
                own[name].copy_(tensors[name])


def _refuse_mismatch(report: TensorReport) -> None:
    problems = [Problem(name, "is in the model, but not in the base model") for name in report.missing]
    problems += [Problem(name, "is in the base model, but not in the model") for name in report.unexpected]
    problems += report.mismatched
    if problems:
        raise TensorMismatchError(
            f"{len(problems)} tensor(s) of the base model do not fit the model",
            expected="the same names, shapes and number types",
            fix="build the same model as the base model, rename tensors in `adapt_base`, or name tensors that may "
            "differ in `base_fresh` or `base_grow`",
            problems=problems,
        )


def _read_shards(base: BaseModelFiles, index: Path) -> dict[str, Tensor]:
    with damage_is_told(index.name):
        where = json.loads(index.read_bytes())["weight_map"]
        names = sorted({str(file) for file in where.values()})
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= read_safetensors(base.file(name))
    if tensors.keys() != where.keys():
        raise unreadable(index.name)
    return tensors


def _read_torch(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        if _dimensions(path) > MAX_DIMENSIONS:
            raise _too_deep(path.name)
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CleanroomError:
        raise
    except Exception as error:  # of zipfile, pickle or torch: the bytes are another party's
        raise UnsafeFileError(
            f"{path.name} cannot be read as tensors alone ({type(error).__name__})",
            expected="tensors, numbers and text in torch's zip format, which torch.load(weights_only=True) can read",
            fix="store the state_dict as safetensors",
        ) from error
    with damage_is_told(path.name):
        for key in _STATE_KEYS:
            if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
                loaded = loaded[key]
                break
        if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
            raise unreadable(path.name)
        for name, tensor in loaded.items():
            _check_storage(path.name, str(name), tensor)
        return {str(name): tensor for name, tensor in loaded.items()}


def _dimensions(path: Path) -> int:
    """Return an upper bound of the number of dimensions of a tensor in a file of torch: it stores them as a tuple."""
    most = row = 0
    with zipfile.ZipFile(path) as archive:
        for pickled in (name for name in archive.namelist() if name.endswith("data.pkl")):
            for operation, _, _ in pickletools.genops(archive.read(pickled)):
                row = row + 1 if operation.name in _INTEGERS else 0
                most = max(most, row)
    return most


def _check_storage(file: str, name: str, tensor: Tensor) -> None:
    import torch

    # A tensor of stride 0 can claim any number of elements in a few bytes.
    if tensor.layout != torch.strided or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise UnsafeFileError(
            f"the tensor {name} of {file} claims more elements than the file holds",
            expected="dense tensors",
            fix="store the state_dict as safetensors",
        )


def _too_deep(file: str) -> UnsafeFileError:
    return UnsafeFileError(
        f"a tensor of {file} has more than {MAX_DIMENSIONS} dimensions",
        expected=f"tensors with at most {MAX_DIMENSIONS} dimensions",
        fix="copy the artifacts again from the job that wrote them",
    )


def _fits_inside(base: Tensor, mine: Tensor) -> bool:
    return base.dim() == mine.dim() and all(a <= b for a, b in zip(base.shape, mine.shape, strict=True))


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
