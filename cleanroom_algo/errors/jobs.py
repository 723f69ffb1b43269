"""CR-JOB: jobs."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import INSUFFICIENT_COMPUTE, INVALID_RESOURCE, MALFORMED_QUERY


class JobError(CleanroomError):
    """Jobs: training, inference, export."""


class ArtifactsClashError(JobError):
    """Two hosts left different files under the same path.

    The platform merges what the hosts leave in /opt/ml/model and in /opt/ml/output/data; names must not clash.
    """

    code = "CR-JOB-101"
    title = "hosts' files clash"


class ArtifactsTooLargeError(JobError):
    """What the job left is larger than the cap of the association.

    The cap is privacyConfiguration.policies.trainedModels.maxArtifactSize and counts all artifacts of the job together.
    What the service does when it is crossed is not documented; here the job fails and leaves nothing.
    """

    code = "CR-JOB-102"
    title = "job output over its cap"


class ChannelWrittenError(JobError):
    """The container wrote to a channel in FastFile mode, which the platform mounts read-only.

    There, the write itself fails, and most programs with it. Process hosts isolate nothing: they give the container
    read-only copies, which root can still change, and check them when the container has ended. The originals stay as
    they were.
    """

    code = "CR-JOB-103"
    title = "a read-only channel was written to"


class ArtifactsUnreadableError(JobError):
    """What a job left in /opt/ml/model or /opt/ml/output/data cannot be packed.

    Both must be folders, not links to folders. They may hold files, folders, and links to what lies in the same folder,
    which are packed as what they point to. A link to anything else fails the job. Named pipes, sockets and devices are
    left out, which the log of the job says. Files and folders keep their permissions, except setuid, setgid and the
    sticky bit.
    """

    code = "CR-JOB-104"
    title = "artifacts cannot be packed"


class JobLostError(JobError):
    """The process that ran this job ended without a word: killed, or the machine went down.

    Its containers ended with it, and nothing of what they wrote is kept. Start the job again.
    """

    code = "CR-JOB-301"
    title = "job lost with its process"


class JobStoppedError(JobError):
    """A job was stopped before its end: cancelled, or its command was interrupted."""

    code = "CR-JOB-302"
    title = "job stopped"
    exit_code = ExitCode.STOPPED


class JobDiskError(JobError):
    """The disk of the state folder took no more of a job's files, which have been removed.

    In File mode each host gets a copy of its objects, as on the platform; further room is needed for what the
    containers write, and for the archives made of it.
    """

    code = "CR-JOB-304"
    title = "disk full"
    exit_code = ExitCode.CONTRACT


class JobRecordMissingError(JobError):
    """A resource that a job was started with no longer exists: its association, algorithm or channel.

    Keep the resources of a job until it has ended.
    """

    code = "CR-JOB-305"
    title = "resource of a job missing"
    exit_code = ExitCode.CONTRACT


class BaseArtifactsMissingError(JobError):
    """The version that a training job starts from no longer has artifacts.

    They are removed by DeleteTrainedModelOutput and by `cleanroom-algo clean`.
    """

    code = "CR-JOB-306"
    title = "artifacts of the base model missing"
    exit_code = ExitCode.CONTRACT


class NotResumableError(JobError):
    """A training job cannot be resumed.

    `train --resume` resumes a job that was interrupted, cancelled or failed after its first epoch. Its objects, its
    sources and its number of hosts must be unchanged, so that it ends with the same bits as a job that was never
    interrupted.
    """

    code = "CR-JOB-307"
    title = "job not resumable"
    exit_code = ExitCode.CONTRACT


class CheckpointsUnreadableError(JobError):
    """The checkpoints that a job left cannot be read, or its container left something else in their place."""

    code = "CR-JOB-308"
    title = "checkpoints not readable"
    exit_code = ExitCode.CONTRACT


class JobFailedError(JobError):
    """A job ended in failure; its reason is in statusDetails of its record, its output in `cleanroom-algo logs`."""

    code = "CR-JOB-303"
    title = "job failed"


class InferenceInputError(JobError):
    """An object of the input channel cannot be cut into the requests of an inference job.

    Inference jobs split every object by line into requests of up to maxPayloadInMB (Clean Rooms ML user guide,
    "Inference model authoring guidelines"). A record must fit into one request, and the objects must have lines.
    """

    code = "CR-JOB-201"
    title = "input not usable for inference"


class InferenceServerError(JobError):
    """The inference container did not become ready.

    It is started with the argument `serve`, and GET /ping on port 8080 must answer 200 (SageMaker developer guide,
    "Use your own inference code with batch transform"). A container that cannot load its model should exit at once,
    with a status other than 0: the platform would otherwise keep asking for half an hour.
    """

    code = "CR-JOB-202"
    title = "inference container not ready"


class InferenceContainerDiedError(JobError):
    """The inference container ended while the job still needed it.

    An exit status over 128 stands for a signal: 137 is SIGKILL, which most often means that the memory of the instance
    was not enough. What the container wrote last is shown to the account that asked for the job, as far as the
    association's containerLogs policies let it see that.
    """

    code = "CR-JOB-205"
    title = "inference container died"


class InferenceTimeoutError(JobError):
    """The inference job was not done within the quota of its duration, 25 hours."""

    code = "CR-JOB-206"
    title = "inference job takes too long"


class InferenceRequestError(JobError):
    """The container answered a request of the job with an error, or not at all, in every attempt.

    The object that the request belongs to has no output then, as a part of it would have lost records; the outputs of
    other objects stay.
    """

    code = "CR-JOB-203"
    title = "inference request failed"


class InferenceRowsLostError(JobError):
    """The container answered a request with fewer predictions than the request has records.

    Predictions belong to records by their position, so all predictions after a lost one belong to the wrong records.
    The documentation does not say that AWS counts them. A request with the header of its object may have one prediction
    fewer than it has lines. A common cause is a server that takes the first line of every request for a header. With
    `inference_lost_rows = "warn"` in settings.toml, the job continues with a warning.
    """

    code = "CR-JOB-207"
    title = "predictions missing"


class PredictionsUnreadableError(JobError):
    """The outputs of an inference job cannot be shown as a table beside its inputs.

    That needs inputs in CSV or JSON Lines, and outputs in one of these with one prediction for each row. The outputs
    themselves are as the algorithm wrote them.
    """

    code = "CR-JOB-208"
    title = "predictions are not a table"
    exit_code = ExitCode.CONTRACT


class InferenceOutputTooLargeError(JobError):
    """The output of an inference job is larger than its cap (trainedModelInferenceJobs.maxOutputSize)."""

    code = "CR-JOB-204"
    title = "inference output too large"


class QueryError(JobError):
    """The query of an ML input channel cannot be run.

    A query sees the tables of its collaboration and their allowed columns, and nothing else: no files, no network, no
    settings. It may call the functions of Spark SQL that are known to give the same values here. Join columns of a
    table with a LIST rule may only be compared for equality with columns of other tables.
    """

    code = "CR-JOB-401"
    status_code = MALFORMED_QUERY
    title = "query refused"
    exit_code = ExitCode.CONTRACT


class EngineDiffersError(JobError):
    """DuckDB may give other values than Spark for the query of an ML input channel, so it is not run.

    `docs/reference/query-functions.md` lists what agrees. With `query_engine = "spark"` in `[machine]` of settings.toml
    the query runs on Spark itself, on this machine.
    """

    code = "CR-JOB-403"
    title = "query gives other values than Spark"
    exit_code = ExitCode.CONTRACT


class SparkUnavailableError(JobError):
    """Queries are to run on Spark (`query_engine = "spark"`), and it cannot start on this machine.

    It needs the extra `spark` of cleanroom-algo and Java 17. Queries that DuckDB computes as Spark does need neither.
    """

    code = "CR-JOB-404"
    title = "query engine cannot start"
    exit_code = ExitCode.CONTRACT


class TableUnreadableError(JobError):
    """The files of a table that a query names cannot be read. Queries that do not name the table still run.

    The files must have the format and the columns that the table's owner declared. In a folder, only files whose names
    end as the format's do are read. A file whose name ends in .csv is never read as Parquet.
    """

    code = "CR-JOB-402"
    status_code = INVALID_RESOURCE
    title = "table cannot be read"
    exit_code = ExitCode.CONTRACT


class QueryTooLargeError(JobError):
    """The query of an ML input channel needs more memory or disk than there is for it.

    DuckDB gets 1 GB of memory and puts the rest on the disk of the state folder. Spark gets what `spark.driver.memory`
    in `[spark]` of settings.toml says.
    """

    code = "CR-JOB-405"
    title = "query too large"
    status_code = INSUFFICIENT_COMPUTE
    exit_code = ExitCode.CONTRACT


class SyntheticDataError(JobError):
    """The result of a query whose template asks for synthetic data is not what rows can be generated from.

    There must be 1,500 to 2,500,000 rows. Each column is classified as CATEGORICAL or NUMERICAL in the template, and
    numerical ones are numbers, dates or timestamps. A categorical column that is to be predicted has at most 100
    values. The numbers are in `[quotas]` of settings.toml.
    """

    code = "CR-JOB-406"
    title = "result does not fit synthetic data"
    exit_code = ExitCode.CONTRACT


class SyntheticDataExposedError(JobError):
    """An attack on generated rows succeeds too often, so the channel fails, as it does on AWS.

    The attack tells rows of the query from others by their distance to the closest generated row. Its score is the area
    under the ROC curve: 0.5 is that of guessing. The template has the threshold, maxMembershipInferenceAttackScore.
    With a threshold near 0.5, chance alone makes every other channel fail. Each try generates other rows.
    """

    code = "CR-JOB-407"
    title = "synthetic data exposes rows"
    exit_code = ExitCode.CONTRACT


class AccessBudgetError(JobError):
    """The owner of a table has limited how often queries may use it, and no use is left.

    `list_privacy_budgets` of the `cleanrooms` client shows what is left, and when the next period begins. A query that
    fails costs nothing. UpdatePrivacyBudgetTemplate changes the budget.
    """

    code = "CR-JOB-408"
    title = "access budget used up"
    exit_code = ExitCode.CONTRACT


class ExportTooLargeError(JobError):
    """The files to export are larger than the policy of the association allows.

    The cap is privacyConfiguration.policies.trainedModelExports.maxSize; larger data "will not be exported".
    """

    code = "CR-JOB-501"
    title = "export over its cap"
