"""CR-JOB: jobs."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import INSUFFICIENT_COMPUTE, INVALID_RESOURCE, MALFORMED_QUERY


class JobError(CleanroomError):
    """Jobs: queries, training, inference and export."""


class ArtifactsClashError(JobError):
    """Two hosts wrote different files with the same path.

    The platform merges the files of all hosts in /opt/ml/model and in /opt/ml/output/data. Write from one host only, or
    use different names on each host.
    """

    code = "CR-JOB-101"
    title = "conflicting files from several hosts"


class ArtifactsTooLargeError(JobError):
    """The output of a training job exceeds the maximum size that its association allows.

    The maximum is privacyConfiguration.policies.trainedModels.maxArtifactSize. It applies to the sum of all artifacts
    of the job. AWS does not document what happens if a job exceeds it. In the local clean room, the job fails and keeps
    no artifacts.
    """

    code = "CR-JOB-102"
    title = "job output too large"


class ChannelWrittenError(JobError):
    """The container wrote to a channel in FastFile mode, which the platform mounts read-only.

    On the platform, the write fails, and most programs fail with it. Process hosts have no isolation. They give the
    container read-only copies, which root can still change, and check them when the container has ended. The original
    files are unchanged. Write to another folder instead.
    """

    code = "CR-JOB-103"
    title = "write to a read-only channel"


class ArtifactsUnreadableError(JobError):
    """The files in /opt/ml/model or /opt/ml/output/data cannot be packed.

    Both must be folders, not links to folders. They can contain files, folders, and links to something in the same
    folder, which are packed as their targets. Any other link fails the job. Named pipes, sockets and devices are left
    out, and the log of the job names them. Files and folders keep their permissions, except setuid, setgid and the
    sticky bit.
    """

    code = "CR-JOB-104"
    title = "artifacts cannot be packed"


class JobLostError(JobError):
    """The process that ran this job ended without a message: it was killed, or the machine stopped.

    The containers of the job ended with it, and none of their files is kept. Start the job again.
    """

    code = "CR-JOB-301"
    title = "job lost"


class JobStoppedError(JobError):
    """The job was stopped before its end: it was cancelled, or its command was interrupted."""

    code = "CR-JOB-302"
    title = "job stopped"
    exit_code = ExitCode.STOPPED


class JobDiskError(JobError):
    """The disk of the state folder is full, so the files of a job were removed.

    In File mode, each host gets a copy of its objects, as on the platform. The files that the containers write and
    their archives need space too. Free some space, and start the job again.
    """

    code = "CR-JOB-304"
    title = "disk full"
    exit_code = ExitCode.CONTRACT


class JobRecordMissingError(JobError):
    """A resource of a job no longer exists: its association, algorithm or channel.

    Keep the resources of a job until it has ended.
    """

    code = "CR-JOB-305"
    title = "resource of a job missing"
    exit_code = ExitCode.CONTRACT


class BaseArtifactsMissingError(JobError):
    """The artifacts of the version from which a training job starts no longer exist.

    DeleteTrainedModelOutput or `cleanroom-algo clean` has removed them. Start from another version.
    """

    code = "CR-JOB-306"
    title = "artifacts of the base model missing"
    exit_code = ExitCode.CONTRACT


class NotResumableError(JobError):
    """A training job cannot be resumed.

    `train --resume` resumes a job that was interrupted, cancelled or failed after its first epoch. Its objects, its
    source code and its number of hosts must be unchanged, so that the result is identical to that of a job without an
    interruption.
    """

    code = "CR-JOB-307"
    title = "job not resumable"
    exit_code = ExitCode.CONTRACT


class CheckpointsUnreadableError(JobError):
    """The checkpoints of a job cannot be read, or its container replaced them with something else."""

    code = "CR-JOB-308"
    title = "checkpoints not readable"
    exit_code = ExitCode.CONTRACT


class JobFailedError(JobError):
    """A job failed.

    Its record has the reason in statusDetails. `cleanroom-algo logs` shows its output.
    """

    code = "CR-JOB-303"
    title = "job failed"


class InferenceInputError(JobError):
    """An object of the input channel cannot be divided into the requests of an inference job.

    Inference jobs split every object by line into requests of up to maxPayloadInMB (Clean Rooms ML user guide,
    "Inference model authoring guidelines"). The objects must have lines, and each record must fit into one request.
    """

    code = "CR-JOB-201"
    title = "input not usable for inference"


class InferenceServerError(JobError):
    """The inference container did not become ready.

    The container is started with the argument `serve`, and GET /ping on port 8080 must return 200 (SageMaker developer
    guide, "Use your own inference code with batch transform"). A container that cannot load its model should exit at
    once with a nonzero status. Otherwise, the platform repeats the request for half an hour.
    """

    code = "CR-JOB-202"
    title = "inference container not ready"


class InferenceContainerDiedError(JobError):
    """The inference container ended while the job still needed it.

    An exit status above 128 means a signal. Status 137 is SIGKILL: in most cases, the memory of the instance was not
    enough. The account that started the job sees the last output of the container, if the association's containerLogs
    policies allow it.
    """

    code = "CR-JOB-205"
    title = "inference container died"


class InferenceTimeoutError(JobError):
    """The inference job took longer than its quota of 25 hours."""

    code = "CR-JOB-206"
    title = "inference job takes too long"


class InferenceRequestError(JobError):
    """The container returned an error for a request of the job, or no answer, in every attempt.

    The object of this request has no output, because a part of the output would silently lack records. The outputs of
    other objects are kept.
    """

    code = "CR-JOB-203"
    title = "inference request failed"


class InferenceRowsLostError(JobError):
    """The container returned fewer predictions than the request has records.

    Predictions belong to records by their position. If one is missing, all later predictions belong to the wrong
    records. AWS does not document whether it counts predictions. A request with the header of its object may have one
    prediction fewer than it has lines. A frequent cause is a server that treats the first line of every request as a
    header. With `inference_lost_rows = "warn"` in settings.toml, table `[switches]`, the job continues with a warning.
    """

    code = "CR-JOB-207"
    title = "predictions missing"


class PredictionsUnreadableError(JobError):
    """The outputs of an inference job cannot be shown as a table beside its inputs.

    The inputs and outputs must be CSV or JSON Lines, with one prediction for each row. The outputs themselves are
    unchanged.
    """

    code = "CR-JOB-208"
    title = "predictions are not a table"
    exit_code = ExitCode.CONTRACT


class InferenceOutputTooLargeError(JobError):
    """The output of an inference job exceeds its maximum size.

    The maximum is trainedModelInferenceJobs.maxOutputSize in the policies of the association.
    """

    code = "CR-JOB-204"
    title = "inference output too large"


class QueryError(JobError):
    """The query of an ML input channel cannot be run.

    A query can read the allowed columns of the tables in its collaboration, and nothing else: no files, no network, no
    settings. It can call the Spark SQL functions that are known to return the same values here. Join columns of a table
    with a LIST rule can only be compared for equality with columns of other tables.
    """

    code = "CR-JOB-401"
    status_code = MALFORMED_QUERY
    title = "query refused"
    exit_code = ExitCode.CONTRACT


class EngineDiffersError(JobError):
    """DuckDB may return other values than Spark for the query of an ML input channel, so it is not run.

    `docs/reference/query-functions.md` lists the functions that return the same values. To run the query on Spark on
    this machine, set `query_engine = "spark"` in settings.toml, table `[machine]`.
    """

    code = "CR-JOB-403"
    title = "query may differ from Spark"
    exit_code = ExitCode.CONTRACT


class SparkUnavailableError(JobError):
    """The setting `query_engine = "spark"` selects Spark, but Spark cannot start on this machine.

    Spark needs the extra `spark` of cleanroom-algo and Java 17. Queries for which DuckDB returns the same values as
    Spark need neither.
    """

    code = "CR-JOB-404"
    title = "query engine cannot start"
    exit_code = ExitCode.CONTRACT


class TableUnreadableError(JobError):
    """The files of a table in the query cannot be read. Queries that do not name the table still run.

    The files must have the format and the columns that the owner of the table declared. In a folder, only files with
    the file name extension of the format are read. A file whose name ends in .csv is never read as Parquet.
    """

    code = "CR-JOB-402"
    status_code = INVALID_RESOURCE
    title = "table cannot be read"
    exit_code = ExitCode.CONTRACT


class QueryTooLargeError(JobError):
    """The query of an ML input channel needs more memory or disk space than it has.

    DuckDB can use 1 GB of memory, and the disk of the state folder for the rest. Spark can use the memory that
    `spark.driver.memory` sets in settings.toml, table `[spark]`.
    """

    code = "CR-JOB-405"
    title = "query too large"
    status_code = INSUFFICIENT_COMPUTE
    exit_code = ExitCode.CONTRACT


class SyntheticDataError(JobError):
    """Synthetic data cannot be generated from the result of this query.

    The result must have 1,500 to 2,500,000 rows. The template classifies each column as CATEGORICAL or NUMERICAL.
    Numerical columns contain numbers, dates or timestamps. A categorical column that is to be predicted has at most 100
    values. The limits are in settings.toml, table `[quotas]`.
    """

    code = "CR-JOB-406"
    title = "result does not fit synthetic data"
    exit_code = ExitCode.CONTRACT


class SyntheticDataExposedError(JobError):
    """An attack on the generated rows succeeds too often, so the channel fails, as on AWS.

    The attack distinguishes rows of the query from other rows by their distance to the closest generated row. Its score
    is the area under the ROC curve. Random guessing has a score of 0.5. The template sets the threshold,
    maxMembershipInferenceAttackScore. With a threshold near 0.5, every second channel fails by chance. Each attempt
    generates different rows.
    """

    code = "CR-JOB-407"
    title = "synthetic data exposes rows"
    exit_code = ExitCode.CONTRACT


class AccessBudgetError(JobError):
    """The access budget of a table is used up.

    The owner of a table can limit how often queries use it. `list_privacy_budgets` of the `cleanrooms` client shows
    what is left, and when the next period begins. A query that fails costs nothing. UpdatePrivacyBudgetTemplate changes
    the budget.
    """

    code = "CR-JOB-408"
    title = "access budget used up"
    exit_code = ExitCode.CONTRACT


class ExportTooLargeError(JobError):
    """The files of an export exceed the maximum size that the association allows.

    The maximum is privacyConfiguration.policies.trainedModelExports.maxSize. AWS documents that larger data "will not
    be exported".
    """

    code = "CR-JOB-501"
    title = "export too large"
