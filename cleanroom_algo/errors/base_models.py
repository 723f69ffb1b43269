"""CR-BAS: base model."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class BaseModelError(CleanroomError):
    """The base model in the incremental channel."""

    exit_code = ExitCode.CONTRACT


class UnsafeArchiveError(BaseModelError):
    """The archive of the base model contains something that a model never needs.

    It contains links, devices, paths that lead outside, a name more than once, or more files or bytes than the limits
    allow. A base model may come from another party. Therefore, nothing from such an archive is used.
    """

    code = "CR-BAS-001"
    title = "base model archive refused"


class BaseModelNotFoundError(BaseModelError):
    """The job has a channel for the base model, but the channel contains no model."""

    code = "CR-BAS-002"
    title = "no base model in the channel"


class BaseModelMismatchError(BaseModelError):
    """The base model was written by another algorithm or for another schema.

    A model of another class is accepted if the Trainer names this class: `base_algorithms = ("PartnerTrainer",)`. The
    columns and their types must be the same as those of the base model.
    """

    code = "CR-BAS-003"
    title = "base model does not fit"


class TensorMismatchError(BaseModelError):
    """The tensors of the base model do not match those of the model.

    Names are missing or unknown, or shapes or types differ. Use `base_fresh` to name tensors that may start with new
    values, such as a new head. Use `base_grow` to name tensors that may be larger and start with the values of the base
    model, such as an embedding with more rows.
    """

    code = "CR-BAS-004"
    title = "tensors do not fit"


class UnsafeFileError(BaseModelError):
    """A file of the base model could run code when it is loaded, or claims more memory than it contains.

    Tensors are read from safetensors files, or with torch.load(weights_only=True). Other files are opened only if their
    content is in a format that contains only data: safetensors, npy and npz without objects, JSON, Parquet, Arrow,
    skops, and the text, JSON and UBJ models of XGBoost and LightGBM. Other files, such as those of pickle or joblib,
    can run code of their author. They are opened only if the algorithm names them in `trusted_pickles`.
    """

    code = "CR-BAS-005"
    title = "file of the base model refused"


class BaseModelUnreadableError(BaseModelError):
    """The base model is truncated or damaged, or does not fit on the disk."""

    code = "CR-BAS-006"
    title = "base model unreadable"
