"""CR-TRN: training."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class TrainingError(CleanroomError):
    """The training loop and its ranks."""


class AlgorithmExitError(TrainingError):
    """The algorithm's own code called sys.exit() before training ended and its artifacts were saved.

    A job that exits 0 counts as completed, so exiting during training is always a failure. Raise an exception that says
    what is wrong; its message reaches the failure file.
    """

    code = "CR-TRN-001"
    title = "the algorithm exited during training"


class RankDiedError(TrainingError):
    """A training process ended without a word: killed by a signal, or by the kernel for memory.

    SIGKILL usually means that the host ran out of memory: use smaller batches, fewer ranks per host, or an instance
    type with more memory.
    """

    code = "CR-TRN-002"
    title = "a rank died"


class RankLostError(TrainingError):
    """Ranks of this host lost the others, and no host said why.

    The cause is on another host: look at its log. A host that is stopped or runs out of memory says nothing.
    """

    code = "CR-TRN-003"
    title = "other ranks are gone"


class RendezvousError(TrainingError):
    """The hosts of the job did not find each other.

    They meet at the first of the sorted hosts, port 7777, or where CLEANROOM_ALGO_RENDEZVOUS says.
    """

    code = "CR-TRN-004"
    title = "hosts did not meet"


class TrainerDeclarationError(TrainingError):
    """The Trainer subclass lacks something that the job needs, or an option of it has a value that cannot be used."""

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-005"
    title = "trainer not usable"


class SingleHostError(TrainingError):
    """An algorithm with its own `fit` trains on the first host only, and this job spreads its data over several.

    Rows on the other hosts would silently have no part in the model.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-006"
    title = "algorithm trains on one host"


class LossError(TrainingError):
    """The loss is not a finite number, no scalar that depends on the model, or, with several ranks, not on all of it.

    Usual causes: a learning rate that is too large, a target outside its range, features that were not standardised.
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
    """The training channel holds no row on any host."""

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
    """A batch has a single row, and the model normalizes over the rows of a batch.

    The last batch of an epoch holds the rows that are left over. In File mode rows are counted first, so the error
    comes before training starts.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-012"
    title = "a batch of one row meets BatchNorm"


class TargetTypeError(TrainingError):
    """The target's type does not suit the loss, or the target cannot become a tensor.

    Targets declared as float or bool become float32 tensors, and integers become int64. Cross entropy over classes
    takes int64; most other losses take float32.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-013"
    title = "target not usable"


class LabelError(TrainingError):
    """Labels or weights of the rows that the objective cannot take.

    A probability is learned from labels of 0 and 1, classes are numbered from 0 to `num_class` - 1, and counts are at
    least 0. Weights are numbers of at least 0. The rows of all hosts are checked before the first round.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-014"
    title = "labels or weights not usable"


class MissingLibraryError(TrainingError):
    """The library that a Trainer or Predictor works with cannot be imported.

    XGBoost and LightGBM are extras of this package, and need libgomp1 of the system. An image gets what
    requirements.txt and apt.txt beside the algorithm name.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-015"
    title = "library missing"


class PrivateTrainingError(TrainingError):
    """A training with private = True could not keep what its epsilon states.

    Epsilon holds only where each step is a random sample of all rows, each unit changes a step by a bounded amount, and
    nothing else that is published depends on the rows. A pipe cannot be sampled; BatchNorm mixes the rows of a batch;
    fitted features and validation metrics would be published without noise.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-016"
    title = "training cannot be private"
