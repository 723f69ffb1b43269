"""CR-BAS: base model."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class BaseModelError(CleanroomError):
    """What arrives in the incremental channel."""

    exit_code = ExitCode.CONTRACT


class UnsafeArchiveError(BaseModelError):
    """The packed base model holds something that a model never needs.

    Links, devices, paths that lead elsewhere, names twice, or more files and bytes than the limits. A base model is
    another party's file: nothing of a refused archive is used.
    """

    code = "CR-BAS-001"
    title = "base model archive refused"


class BaseModelNotFoundError(BaseModelError):
    """The job has a channel for the base model, and no model is in it."""

    code = "CR-BAS-002"
    title = "no base model in the channel"


class BaseModelMismatchError(BaseModelError):
    """The base model was written by another algorithm, or for another schema."""

    code = "CR-BAS-003"
    title = "base model does not fit"


class TensorMismatchError(BaseModelError):
    """The tensors of the base model are not those of the model: names missing or unknown, other shapes or types.

    `base_fresh` names tensors that may start with new values (a new head), `base_grow` those that may be larger and
    start with the base model's values (a grown embedding).
    """

    code = "CR-BAS-004"
    title = "tensors do not fit"


class UnsafeFileError(BaseModelError):
    """A file of the base model could run code when it is loaded, or claims more memory than it holds.

    Tensors are read from safetensors, or by torch.load(weights_only=True). Other files are opened if their content is
    in a format that holds only data: safetensors, npy and npz without objects, JSON, Parquet, Arrow, skops, and the
    text, JSON and UBJ models of XGBoost and LightGBM. Everything else, such as a file of pickle or joblib, is opened
    only if the algorithm names it in `trusted_pickles`, because it can run its author's code here.
    """

    code = "CR-BAS-005"
    title = "file of the base model refused"


class BaseModelUnreadableError(BaseModelError):
    """The base model is cut short or damaged, or does not fit on the disk."""

    code = "CR-BAS-006"
    title = "base model unreadable"
