"""CR-CON: the contract."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


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

    There are three ways to bring code:

    - a Trainer and a Predictor in a Python file, in algorithm.py of a folder, or in an importable module,
    - executable programs named `train` and `serve` in a folder,
    - scripts of SageMaker's script mode: the variable SAGEMAKER_PROGRAM, in the request or the image, names the script
      that trains, and inference.py serves.
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
