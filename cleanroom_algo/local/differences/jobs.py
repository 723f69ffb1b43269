"""Jobs, and the policies that limit their outputs and logs."""

from __future__ import annotations

from cleanroom_algo.local.differences.difference import EXPORT, INFER, QUERY, TRAIN, Difference

_ASSOCIATE = ("CreateConfiguredModelAlgorithmAssociation",)

POLICIES: tuple[Difference, ...] = (
    Difference(
        "policies",
        TRAIN + EXPORT + INFER,
        "1 GB in a policy is 10**9 bytes. The limits apply to the unpacked artifacts, to the exported archives, and "
        "to the outputs.",
        "AWS does not define the unit.",
        "guessed",
        "The smaller reading: what fits here fits with the larger one too",
    ),
    Difference(
        "policies",
        TRAIN,
        "If the artifacts exceed maxArtifactSize, the job fails with CR-JOB-102 and keeps no artifacts.",
        "AWS does not document what happens.",
        "guessed",
        "A part of the artifacts would look like all of them",
        "overflow",
    ),
    Difference(
        "policies",
        INFER,
        "If the output exceeds maxOutputSize, the job fails with CR-JOB-204 and keeps no output.",
        "AWS does not document what happens.",
        "guessed",
        "A part of the output would look like all of it",
        "overflow",
    ),
    Difference(
        "policies",
        EXPORT,
        "If the data exceeds maxSize, the export fails with CR-JOB-501.",
        "AWS documents both that larger data is not exported and that exports go up to the maximum. It does not "
        "document the status and the message.",
        "guessed",
        "Clean Rooms user guide, Exporting model artifacts; API reference, TrainedModelExportsMaxSize",
        "overflow",
    ),
    Difference(
        "policies",
        EXPORT,
        "If an association has no trainedModelExports, exports are not allowed.",
        "AWS does not document this.",
        "guessed",
        "What a policy does not allow is refused",
        "export_without_policy",
    ),
    Difference(
        "policies",
        EXPORT,
        "An export of a version that incremental training created must satisfy the policy of its own association and "
        "the policies of all its base models.",
        "AWS does not document this.",
        "guessed",
        "A version contains what its base model learned, so another association could otherwise allow what the "
        "association of the base model refuses",
        "export_of_versions",
    ),
    Difference(
        "policies",
        INFER,
        "Inference on a channel that was created for another association is refused, like training on it.",
        "Inference can use an association only if the rules of the tables allow it. AWS does not document which error "
        "follows.",
        "documented",
        "Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML; a channel is for the association that it names",
        "inference_association",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "`logs --as` shows the lines that pass the containerLogs policies that name the member. Other members get no "
        "lines.",
        "Logs are sent to the CloudWatch of the accounts that are named and have an ML configuration.",
        "documented",
        "Clean Rooms user guide, Receiving model logs and metrics",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "filterPattern is a regular expression of Python. `logs --as` reports lines for which another syntax gives a "
        "different result.",
        "The API reference calls it a regular expression. The user guide calls it a filter pattern.",
        "documented",
        "API reference, LogsConfigurationPolicy",
        "log_filter",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "A line that passes several policies is shown once, with the redactions of all of them. The default of "
        "logType is ALL.",
        "AWS does not document this.",
        "guessed",
        "The stricter reading",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "ERROR_SUMMARY shows the code or class of the error that failed a job, and its locations in the code of the "
        "algorithm.",
        "AWS documents shorter error summaries, but not what they contain.",
        "guessed",
        "Clean Rooms user guide, Associating the configured model algorithm",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "Personal information is found by its format: e-mail, IP and MAC addresses, and telephone, card and account "
        "numbers.",
        "AWS does not document how it finds personal information. It may also find names and street addresses.",
        "guessed",
        "Information without a fixed format cannot be found in this way",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "[REDACTED] replaces what was redacted.",
        "AWS does not document this.",
        "guessed",
        "No recording exists",
        "redaction_placeholder",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "A noise level changes no value. With the switch metric_noise set to gaussian, it adds noise of 1, 5 or 10 % "
        "of the range of a metric.",
        "AWS adds noise, but does not document its kind and size.",
        "guessed",
        "Any noise would be an invention",
        "metric_noise",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "With a noise level other than NONE, `metrics --as` shows nothing until the job has ended.",
        "AWS publishes such metrics at the end of the job. It does not document whether NONE is an exception.",
        "documented",
        "Clean Rooms user guide, Receiving model logs and metrics",
    ),
    Difference(
        "policies",
        ("GetTrainedModel", "GetCollaborationTrainedModel", "GetTrainedModelInferenceJob"),
        "logsStatus depends on the caller. It is absent if no policy names the account, and PUBLISH_FAILED if the "
        "account has no ML configuration.",
        "Without an ML configuration, logsStatus is PUBLISH_FAILED. AWS does not document the rest.",
        "guessed",
        "The service's troubleshooting guide for logs of custom models",
    ),
    Difference(
        "policies",
        TRAIN,
        "Metrics are the matches of metricDefinitions in single lines of the log.",
        "Metrics are sent to every member with an ML configuration.",
        "documented",
        "Clean Rooms user guide, Receiving model logs and metrics",
    ),
    Difference(
        "policies",
        TRAIN + INFER,
        "System metrics are the CPUUtilization and MemoryUtilization of each host: the average, and a value every 5 "
        "s, on Linux only. There are no system metrics for GPUs and disks. For jobs in your own account, CloudWatch "
        "has the system metrics.",
        "System metrics of training and inference jobs are sent to every member with an ML configuration. AWS does "
        "not document their names. The names here are those of SageMaker, which takes a value every minute.",
        "guessed",
        "Clean Rooms user guide, Receiving model logs and metrics; SageMaker developer guide, CloudWatch metrics",
    ),
    Difference(
        "policies",
        _ASSOCIATE,
        "A noise level neither changes nor delays system metrics.",
        "AWS does not document this.",
        "guessed",
        "The local clean room shows the most that a member could learn",
    ),
)


JOBS: tuple[Difference, ...] = (
    Difference(
        "jobs",
        TRAIN + INFER + EXPORT + QUERY,
        "Jobs start in the order of their requests. settings.toml, table [machine], sets how many hosts run at the "
        "same time. If the process of a job was killed, the job gets the status CREATE_FAILED with CR-JOB-301.",
        "AWS provides the instances.",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "jobs",
        TRAIN,
        "`train --resume` continues a job that was interrupted, cancelled or failed, after its last complete epoch. "
        "It starts a new job, whose containers find the checkpoints of the earlier job in /opt/ml/checkpoints.",
        "No job can be resumed, and CreateTrainedModel has no checkpoint configuration.",
        "model",
        "botocore's model of cleanroomsml; this is a convenience of the local clean room",
    ),
    Difference(
        "jobs",
        INFER,
        "After 25 hours, an inference job gets the status CREATE_FAILED.",
        "An inference job can run for at most 25 hours.",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "jobs",
        INFER,
        "Requests are text/csv. Only the first request for an object contains its header.",
        "The user guide says that the first request for each file contains the header.",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the inference container",
        "inference_header",
    ),
    Difference(
        "jobs",
        INFER,
        "If some records of an object have no prediction, the object has no output, and the job gets the status "
        "CREATE_FAILED with CR-JOB-207. With the switch inference_lost_rows set to warn, the job continues with a "
        "warning.",
        "AWS does not document this for Clean Rooms. SageMaker joins predictions with their input only if "
        "DataProcessing requests it.",
        "guessed",
        "Predictions that cannot be matched with records have no value",
        "inference_lost_rows",
    ),
    Difference(
        "jobs",
        INFER,
        "Objects in Parquet are refused, because they cannot be split by line. With the switch inference_on_parquet "
        "set to whole-objects, each object is one request.",
        "AWS does not document this.",
        "guessed",
        "SplitType is Line",
        "inference_on_parquet",
    ),
    Difference(
        "jobs",
        INFER,
        "If some objects of an inference job fail, the job gets the status CREATE_FAILED, and the receiver gets the "
        "outputs of the other objects.",
        "SageMaker keeps these outputs and marks the job as failed. AWS does not document which outputs Clean Rooms "
        "delivers.",
        "guessed",
        "SageMaker developer guide, Batch transform: outputs of successful objects stay in Amazon S3",
        "inference_after_failure",
    ),
    Difference(
        "jobs",
        INFER,
        "A cancelled inference job has no outputs.",
        "SageMaker stores no outputs of a stopped transform job.",
        "documented",
        "SageMaker API, StopTransformJob",
    ),
    Difference(
        "jobs",
        TRAIN,
        "If a job exceeds maxRuntimeInSeconds, it gets the status CREATE_FAILED, and its artifacts are not kept.",
        "SageMaker keeps the files in /opt/ml/model. AWS does not document what Clean Rooms shows.",
        "guessed",
        "SageMaker API, StoppingCondition",
    ),
    Difference(
        "jobs",
        TRAIN + INFER,
        "statusDetails.statusCode is AlgorithmError, MaxRuntimeExceeded or a code of this project.",
        "AWS promises that the codes are stable, but does not publish their values.",
        "guessed",
        "No recording exists",
        "overflow_status_code",
    ),
    Difference(
        "jobs",
        TRAIN + INFER,
        "Accounts that did not start a job see only a part of the reason for its failure: a code, the class of an "
        "exception, and locations in the code.",
        "GetTrainedModel returns 1024 characters of the failure file. AWS does not document what other members see.",
        "guessed",
        "Clean Rooms user guide, Model authoring guidelines for the training container",
    ),
    Difference(
        "jobs",
        TRAIN,
        "A training job without stoppingCondition runs for at most 86,400 s.",
        "AWS does not document the default of Clean Rooms. The default of SageMaker is one day.",
        "guessed",
        "SageMaker API, StoppingCondition",
    ),
    Difference(
        "jobs",
        INFER,
        "A server has 30 minutes to answer /ping with 200. A request is sent again, at most three times, if the "
        "connection is lost, if there is no answer within 600 s, or if the status of the answer is 500 or higher.",
        "AWS documents that failed requests are repeated, but not which ones. For the start, AWS has mentioned 30 "
        "minutes.",
        "guessed",
        "SageMaker API, ModelClientConfig",
    ),
    Difference(
        "jobs",
        INFER,
        "The answers to the parts of an object are joined with a line break between them and one at the end.",
        "With AssembleWith Line, SageMaker puts a line break after every record. AWS does not document whether there "
        "is one after the last record.",
        "guessed",
        "SageMaker API, TransformOutput",
    ),
    Difference(
        "jobs",
        INFER,
        "The objects are assigned to the instances in turn, in the order of their keys.",
        "The objects are divided by key. AWS does not document how.",
        "guessed",
        "SageMaker developer guide, Batch transform",
    ),
)
