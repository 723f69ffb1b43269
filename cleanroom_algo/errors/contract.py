"""CR-CON: the contract."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ContractError(CleanroomError):
    """The contract between the platform and a container."""

    exit_code = ExitCode.CONTRACT


class ConfigFileError(ContractError):
    """The configuration of the job cannot be read.

    A container needs hyperparameters.json, inputdataconfig.json and resourceconfig.json in /opt/ml/input/config. They
    are missing if you start an algorithm directly. Use `cleanroom-algo train`, which creates them like the platform.
    """

    code = "CR-CON-001"
    title = "job configuration unreadable"


class HyperparameterError(ContractError):
    """The hyperparameters of the request do not match those that the algorithm declares.

    All values arrive as strings, either bare or JSON-encoded. Unknown names are errors. Otherwise, a misspelled
    hyperparameter would silently keep its default value for a whole job in the clean room.

    An option of the Trainer, such as `epochs`, can be a hyperparameter only if the algorithm declares it:

        class Mine(Hyperparameters):
            epochs: int = 10

    The class then belongs to the attribute `hyperparameters` of the Trainer.
    """

    code = "CR-CON-002"
    title = "hyperparameters do not fit"


class SettingError(ContractError):
    """An environment variable that starts with CLEANROOM_ALGO_ is unknown or has an invalid value.

    Unknown names are errors, because a misspelled variable would have no effect.
    """

    code = "CR-CON-003"
    title = "setting not usable"


class AlgorithmNotFoundError(ContractError):
    """No algorithm was found at the path in the command or in CLEANROOM_ALGO_ALGORITHM.

    An algorithm has one of these forms:

    - a Trainer and a Predictor in a Python file, in the algorithm.py of a folder, or in an importable module,
    - executable programs named `train` and `serve` in a folder,
    - scripts for SageMaker's script mode: the variable SAGEMAKER_PROGRAM, in the request or in the image, names the
      training script, and inference.py serves.
    """

    code = "CR-CON-004"
    title = "algorithm not found"


class AlgorithmClassError(ContractError):
    """The algorithm's file does not define exactly one class of the required type.

    `train` needs one subclass of Trainer, and `serve` needs one subclass of Predictor. Both can be in the same file.
    """

    code = "CR-CON-005"
    title = "no single class to run"


class ChannelNotInJobError(ContractError):
    """The algorithm uses a channel that the job does not have.

    The channels of a job are those in inputdataconfig.json. The request names them in dataChannels[].channelName.
    """

    code = "CR-CON-006"
    title = "no such channel"


class ScriptNamesError(ContractError):
    """The sagemaker-training toolkit could not provide the SM_* variables of a script.

    Only scripts written for SageMaker need the toolkit. A Trainer gets the same values from `self.environment`.
    """

    code = "CR-CON-007"
    title = "SM_* variables not available"
