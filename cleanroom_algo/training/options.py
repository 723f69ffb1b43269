"""The options of a Trainer: class attributes, each of which a hyperparameter of the same name overrides."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import Problem, TrainerDeclarationError


class Options(BaseModel):
    """The options in their legal ranges; `Trainer` says what each does and where its default comes from."""

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


def read_options(trainer: type[object], params: Hyperparameters) -> Options:
    """Return the options of a Trainer under its hyperparameters.

    Raises:
        ValidationError: of pydantic; `check_options` says the same in our words.
    """
    values = {name: getattr(params, name, getattr(trainer, name)) for name in Options.model_fields}
    return Options.model_validate(values)


def check_options(trainer: type[object], params: Hyperparameters, *, missing: list[str]) -> None:
    """Check options and required parts of a Trainer.

    Args:
        trainer: the subclass.
        params: its hyperparameters.
        missing: required attributes that it does not have.

    Raises:
        TrainerDeclarationError: CR-TRN-005, all faults at once.
    """
    problems = [Problem(f"{trainer.__name__}.{name}", "is missing") for name in missing]
    try:
        read_options(trainer, params)
    except ValidationError as error:
        problems += [Problem(f"{trainer.__name__}.{p.path}", p.message) for p in problems_of(error)]
    if problems:
        raise TrainerDeclarationError(
            f"{len(problems)} part(s) of {trainer.__name__} cannot be used",
            expected="`schema`, `model` and `loss` (or `fit` and `save`), and options in their ranges",
            fix=f"define {' and '.join(missing)} in {trainer.__name__}: `cleanroom-algo init` makes an example"
            if missing
            else "correct them: the docstring of cleanroom_algo.Trainer says what they take",
            problems=problems,
        )
