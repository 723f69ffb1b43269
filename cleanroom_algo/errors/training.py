"""CR-TRN: training."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class TrainingError(CleanroomError):
    """The training loop and its ranks."""


class AlgorithmExitError(TrainingError):
    """The algorithm's own code called sys.exit() before the training ended and its artifacts were saved.

    A job with exit status 0 counts as completed. Therefore, calling sys.exit() during the training is always a failure.
    Raise an exception that describes the problem. Its message is written to the failure file.
    """

    code = "CR-TRN-001"
    title = "the algorithm exited during training"


class RankDiedError(TrainingError):
    """A training process ended without a message: a signal or the kernel killed it.

    SIGKILL usually means that the host ran out of memory. Use smaller batches, fewer ranks per host, or an instance
    type with more memory.
    """

    code = "CR-TRN-002"
    title = "a rank died"


class RankLostError(TrainingError):
    """The ranks of this host lost the connection to the others, and no host reported a reason.

    The cause is on another host. Look at its log. A host that is stopped or runs out of memory reports nothing.
    """

    code = "CR-TRN-003"
    title = "connection to other ranks lost"


class RendezvousError(TrainingError):
    """The hosts of the job could not connect to each other.

    They connect to the first of the sorted hosts on port 7777, or to the address in CLEANROOM_ALGO_RENDEZVOUS.
    """

    code = "CR-TRN-004"
    title = "hosts could not connect"


class TrainerDeclarationError(TrainingError):
    """The Trainer subclass lacks something that the job needs, or one of its options has an invalid value."""

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-005"
    title = "invalid Trainer"


class SingleHostError(TrainingError):
    """An algorithm with its own `fit` trains on the first host only, but this job divides its data among several hosts.

    The rows on the other hosts would silently have no effect on the model. Use one host or FullyReplicated channels. If
    `fit` divides the work itself, set `distributed = True` in the class.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-006"
    title = "algorithm trains on one host"


class LossError(TrainingError):
    """The loss cannot be used: it must be a finite scalar that depends on the model.

    With several ranks, it must depend on all parameters of the model. Usual causes are a learning rate that is too
    large, a target outside its valid range, and features that were not standardized.
    """

    code = "CR-TRN-007"
    title = "loss not usable"


class ScriptFailedError(TrainingError):
    """A training script ended with a status other than 0."""

    code = "CR-TRN-008"
    title = "training script failed"


class CheckpointError(TrainingError):
    """A checkpoint cannot be read, or was written by a different training.

    Checkpoints are in /opt/ml/checkpoints, in a folder for each host. Remove those that do not fit, and training starts
    from the beginning.
    """

    code = "CR-TRN-009"
    title = "checkpoint not usable"


class NoDataError(TrainingError):
    """The training channel has no rows on any host."""

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-010"
    title = "nothing to train on"


class SyncBatchNormError(TrainingError):
    """The model has SyncBatchNorm layers, which torch supports only on GPUs, and the ranks train on CPUs.

    Use BatchNorm instead. It works on several ranks: after each step, its running statistics are averaged over them.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-011"
    title = "SyncBatchNorm on CPUs"


class OneRowBatchError(TrainingError):
    """A batch has only one row, and the model normalizes over the rows of a batch.

    The last batch of an epoch contains the remaining rows. In File mode, the rows are counted first, so the error
    occurs before the training starts. Set `drop_last = True`, or choose another `batch_size`.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-012"
    title = "one-row batch with BatchNorm"


class TargetTypeError(TrainingError):
    """The target does not suit the loss: it has another type, cannot become a tensor, or is not declared.

    Targets declared as float or bool become float32 tensors, and integers become int64 tensors. Cross entropy for
    classes needs int64. Most other losses need float32.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-013"
    title = "target not usable"


class LabelError(TrainingError):
    """The objective does not allow these labels or weights.

    Labels for a probability are 0 and 1. Classes are numbered from 0 to `num_class` - 1; labels that are strings are
    numbered by this library, and must be as many as the objective takes. Counts are at least 0. Weights are at least 0.
    The rows of all hosts are checked before the first round.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-014"
    title = "invalid labels or weights"


class MissingLibraryError(TrainingError):
    """A library that a Trainer or Predictor needs cannot be imported.

    XGBoost and LightGBM are extras of this package, and need the system package libgomp1. An image contains the
    packages that requirements.txt and apt.txt beside the algorithm name.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-015"
    title = "library missing"


class PrivateTrainingError(TrainingError):
    """A training with private = True cannot guarantee its epsilon.

    Epsilon is valid only if each step uses a random sample of all rows, if each unit changes a step by a bounded
    amount, and if nothing else that is published depends on the rows. A pipe cannot be sampled. BatchNorm mixes the
    rows of a batch. Fitted features and validation metrics would be published without noise.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-016"
    title = "training cannot be private"
