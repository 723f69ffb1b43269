"""Every error of the project.

```
CleanroomError
├── ContractError   CR-CON  what the platform gives a container
├── SchemaError     CR-SCH  the declared table and what was found
├── ChannelError    CR-CHN  bytes, formats and streams of a channel
├── DataError       CR-DAT  dividing a channel among ranks, resuming
├── TrainingError   CR-TRN  the training loop and its ranks
├── ArtifactError   CR-ART  what a job leaves behind, and its cap
├── BaseModelError  CR-BAS  what arrives in the incremental channel
├── ServingError    CR-SRV  answering inference requests
├── RequestError    CR-REQ  requests of the Clean Rooms ML API
├── RoomError       CR-ROM  the local clean room and its state
├── JobError        CR-JOB  jobs: training, inference, export
├── HostError       CR-HST  where a container runs
├── ImageError      CR-IMG  building and checking images
└── CliError        CR-CLI  calling the commands
```

A class is one error: its `code` is stable for ever, its docstring is what `cleanroom-algo explain CODE` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cleanroom_algo.contract.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input.

    Attributes:
        path: where: a JSON path (`dataChannels[1].channelName`) or `object:line:column`.
        message: what is wrong there; never a row value, a hyperparameter value or a secret.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CleanroomError(Exception):
    """The root: every error of the project can be caught by this class."""

    code: ClassVar[str] = "CR-000"
    title: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.ALGORITHM_FAILED

    def __init__(self, what: str, *, expected: str, fix: str, problems: Sequence[Problem] = ()) -> None:
        """Say what happened.

        Args:
            what: what happened, in which place.
            expected: what would have been right.
            fix: what the reader can do now.
            problems: all faults of one input, in its order.
        """
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.fix = fix
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [f"{self.code}  {self.title}", f"  what      {self.what}"]
        lines += [f"            - {problem}" for problem in self.problems]
        lines += [f"  expected  {self.expected}", f"  fix       {self.fix}"]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by their positional arguments alone; ranks send errors to their launcher.
        return _rebuild, (type(self), self.what, self.expected, self.fix, self.problems)

    def to_dict(self) -> dict[str, object]:
        """Return the error as JSON values: code, title, what, expected, fix, problems."""
        return {
            "code": self.code,
            "title": self.title,
            "what": self.what,
            "expected": self.expected,
            "fix": self.fix,
            "problems": [{"path": p.path, "message": p.message} for p in self.problems],
        }


def _rebuild(
    kind: type[CleanroomError], what: str, expected: str, fix: str, problems: tuple[Problem, ...]
) -> CleanroomError:
    return kind(what, expected=expected, fix=fix, problems=problems)


def all_errors() -> dict[str, type[CleanroomError]]:
    """Return every concrete error by its code, in the order of the codes."""

    def walk(kind: type[CleanroomError]) -> Iterator[type[CleanroomError]]:
        for child in kind.__subclasses__():
            yield child
            yield from walk(child)

    concrete = {kind.code: kind for kind in walk(CleanroomError) if "code" in vars(kind)}
    return dict(sorted(concrete.items()))


# --- CR-CON: the contract ---------------------------------------------------------------------------------------------


class ContractError(CleanroomError):
    """What the platform gives a container."""

    exit_code = ExitCode.CONTRACT


class ConfigFileError(ContractError):
    """The configuration of the job cannot be read.

    A container finds hyperparameters.json, inputdataconfig.json and resourceconfig.json below /opt/ml/input/config.
    They are missing when an algorithm is started by hand: use `cleanroom-algo train`, which lays them out as the
    platform does.
    """

    code = "CR-CON-001"
    title = "job configuration unreadable"


class HyperparameterError(ContractError):
    """The hyperparameters of the request do not fit the algorithm's declaration.

    All values arrive as strings; they may be bare or JSON-encoded. Unknown names are errors, because a misspelt
    hyperparameter that silently keeps its default costs a whole run in the clean room.
    """

    code = "CR-CON-002"
    title = "hyperparameters do not fit"


class SettingError(ContractError):
    """An environment variable that starts with CLEANROOM_ALGO_ is unknown or out of range.

    Every such variable is read; one that nothing reads would be silently without effect.
    """

    code = "CR-CON-003"
    title = "setting not usable"


class AlgorithmNotFoundError(ContractError):
    """There is no algorithm where the command or CLEANROOM_ALGO_ALGORITHM points.

    An algorithm is a Python file, a folder that holds algorithm.py, or an importable module.
    """

    code = "CR-CON-004"
    title = "algorithm not found"


class AlgorithmClassError(ContractError):
    """The algorithm's file does not define exactly one class of the kind that is needed.

    `train` needs one subclass of Trainer, `serve` one subclass of Predictor; both may stand in one file.
    """

    code = "CR-CON-005"
    title = "no single class to run"


class ChannelNotInJobError(ContractError):
    """The algorithm asks for a channel that the job does not have.

    The channels of a job are those of inputdataconfig.json, named by dataChannels[].channelName of the request.
    """

    code = "CR-CON-006"
    title = "no such channel"


class ScriptNamesError(ContractError):
    """The sagemaker-training toolkit could not supply the SM_* names of a script.

    It is needed only for scripts written for SageMaker; a Trainer gets the same facts from `self.environment`.
    """

    code = "CR-CON-007"
    title = "SM_* names not available"


# --- CR-SCH: schemas --------------------------------------------------------------------------------------------------


class SchemaError(CleanroomError):
    """The declared table and what was found."""

    exit_code = ExitCode.CONTRACT


# --- CR-CHN: channels -------------------------------------------------------------------------------------------------


class ChannelError(CleanroomError):
    """Bytes, formats and streams of a channel."""

    exit_code = ExitCode.CONTRACT


# --- CR-DAT: data -----------------------------------------------------------------------------------------------------


class DataError(CleanroomError):
    """Dividing a channel among ranks, and resuming."""

    exit_code = ExitCode.CONTRACT


# --- CR-TRN: training -------------------------------------------------------------------------------------------------


class TrainingError(CleanroomError):
    """The training loop and its ranks."""


# --- CR-ART: artifacts ------------------------------------------------------------------------------------------------


class ArtifactError(CleanroomError):
    """What a job leaves behind, and its cap."""


class ManifestError(ArtifactError):
    """The model directory has no readable manifest.json.

    A Trainer writes it last, so a directory without one was not written whole, or by something else.
    """

    code = "CR-ART-001"
    title = "no usable manifest"


class ArtifactChangedError(ArtifactError):
    """Files of the artifacts differ from what the manifest lists.

    Each file is listed with its size and SHA-256. A difference means that the artifacts were cut short or changed.
    """

    code = "CR-ART-002"
    title = "artifacts differ from their manifest"


# --- CR-BAS: base model -----------------------------------------------------------------------------------------------


class BaseModelError(CleanroomError):
    """What arrives in the incremental channel."""

    exit_code = ExitCode.CONTRACT


# --- CR-SRV: serving --------------------------------------------------------------------------------------------------


class ServingError(CleanroomError):
    """Answering inference requests."""


# --- CR-REQ: API requests ---------------------------------------------------------------------------------------------


class RequestError(CleanroomError):
    """Requests of the Clean Rooms ML API."""

    exit_code = ExitCode.CONTRACT


# --- CR-ROM: the local clean room -------------------------------------------------------------------------------------


class RoomError(CleanroomError):
    """The local clean room and its state."""

    exit_code = ExitCode.CONTRACT


# --- CR-JOB: jobs -----------------------------------------------------------------------------------------------------


class JobError(CleanroomError):
    """Jobs: training, inference, export."""


# --- CR-HST: hosts ----------------------------------------------------------------------------------------------------


class HostError(CleanroomError):
    """Where a container runs."""


# --- CR-IMG: images ---------------------------------------------------------------------------------------------------


class ImageError(CleanroomError):
    """Building and checking images."""

    exit_code = ExitCode.CONTRACT


# --- CR-CLI: commands -------------------------------------------------------------------------------------------------


class CliError(CleanroomError):
    """Calling the commands."""

    exit_code = ExitCode.USAGE
