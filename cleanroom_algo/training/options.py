"""The options of a Trainer: class attributes; a hyperparameter of the same name overrides each one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import Problem, TrainerDeclarationError


class Options(BaseModel):
    """The options and their allowed ranges; `Trainer` documents each one and its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    seed: int = Field(ge=0)
    shuffle: bool
    drop_last: bool
    max_categories: int = Field(ge=1)
    min_category_count: int = Field(ge=1)
    workers: int | None = Field(ge=0, le=64)
    accumulate: int = Field(ge=1)
    clip_norm: float | None = Field(gt=0)
    precision: Literal["float32", "bfloat16", "float16"]
    compile: bool
    fsdp: bool
    unused_parameters: bool
    patience: int | None = Field(ge=1)
    keep: Literal["best", "last"]
    log_steps: int = Field(ge=1)
    publish_seconds: float = Field(ge=0)
    keep_checkpoints: int = Field(ge=1)
    save_optimizer: bool
    save_dtype: Literal["float32", "bfloat16", "float16"] | None
    shard_gb: float | None = Field(gt=0)
    shrink: tuple[Literal["optimizer", "bfloat16", "float16"], ...]
    base_fresh: tuple[str, ...]
    base_grow: tuple[str, ...]
    base_algorithms: tuple[str, ...]
    trusted_pickles: tuple[str, ...]
    metric_names: tuple[str, ...]
    logged_names: tuple[str, ...]
    private: bool
    noise_multiplier: float | None = Field(gt=0)
    epsilon: float | None = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    max_grad_norm: float = Field(gt=0)
    unit: str = Field(min_length=1)
    public_channels: tuple[str, ...]
    base_data: Literal["same", "other"]


def read_options(trainer: type[object], params: Hyperparameters) -> Options:
    """Return the options of a Trainer with the given hyperparameters.

    Raises:
        ValidationError: of pydantic; `check_options` raises this package's error for it.
    """
    private = getattr(params, "private", getattr(trainer, "private"))  # noqa: B009 (of a subclass of Trainer)
    # Without privacy, a hyperparameter such as `epsilon` or `delta` belongs to the algorithm.
    overridden = Options.model_fields.keys() - (set() if private else _PRIVACY)
    values = {
        name: getattr(params if name in overridden and hasattr(params, name) else trainer, name)
        for name in Options.model_fields
    }
    return Options.model_validate(values)


def check_options(trainer: type[object], params: Hyperparameters, *, missing: list[str], own_fit: bool) -> None:
    """Check options and required parts of a Trainer.

    Args:
        trainer: the subclass.
        params: its hyperparameters.
        missing: required attributes that it does not have.
        own_fit: whether it has its own `fit`.

    Raises:
        TrainerDeclarationError: CR-TRN-005, all faults at once.
    """
    problems = [Problem(f"{trainer.__name__}.{name}", "is missing") for name in missing]
    try:
        problems += [
            Problem(f"{trainer.__name__}.{name}", reason)
            for name, reason in _privacy_faults(read_options(trainer, params), own_fit=own_fit)
        ]
    except ValidationError as error:
        problems += [Problem(f"{trainer.__name__}.{p.path}", p.message) for p in problems_of(error)]
    if problems:
        raise TrainerDeclarationError(
            f"{len(problems)} part(s) of {trainer.__name__} cannot be used",
            expected="`schema`, `model` and `loss` (or `fit` and `save`), and options in their ranges",
            fix=f"define {' and '.join(missing)} in {trainer.__name__}: `cleanroom-algo init` creates an example"
            if missing
            else "correct them; the docstring of cleanroom_algo.Trainer describes them",
            problems=problems,
        )


def _privacy_faults(options: Options, *, own_fit: bool) -> Iterator[tuple[str, str]]:
    """Yield the options that a private training cannot use, or that only it uses, each with a reason."""
    if not options.private:
        for name in ("noise_multiplier", "epsilon"):
            if getattr(options, name) is not None:
                yield name, "has no effect without private = True"
        return
    if own_fit:
        yield "private", "needs the training loop for torch: a `fit` of its own decides itself what it does with rows"
    if (options.noise_multiplier is None) == (options.epsilon is None):
        yield "private", "needs either `noise_multiplier` or `epsilon`"
    for name, (legal, reason) in _PRIVATE_ONLY.items():
        if getattr(options, name) != legal:
            yield name, f"must be {legal!r} where private = True: {reason}"


_PRIVACY: Final = {"noise_multiplier", "epsilon", "delta", "max_grad_norm", "unit", "public_channels", "base_data"}
_PRIVATE_ONLY: Final[dict[str, tuple[object, str]]] = {
    "accumulate": (1, "each step is one random sample; choose a larger batch_size instead"),
    "clip_norm": (None, "max_grad_norm clips the gradient of each unit"),
    "compile": (False, "a compiled model has no gradient of each row"),
    "drop_last": (False, "batches are random samples, and none is the last"),
    "fsdp": (False, "a sharded model has no gradient of each row"),
    "keep": ("last", "which weights are the best depends on rows that the epsilon does not cover"),
    "patience": (None, "when training ends would depend on rows that the epsilon does not cover"),
    "precision": ("float32", "gradients of rows are clipped in full precision"),
    "shuffle": (True, "batches are random samples"),
    "workers": (None, "the rows are kept in memory, and no process reads ahead"),
}
"""The value that an option must have in a private training, and the reason."""
