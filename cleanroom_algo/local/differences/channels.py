"""ML input channels and their queries, and the versions of trained models."""

from __future__ import annotations

from cleanroom_algo.local.differences.difference import EXPORT, INFER, QUERY, TRAIN, Difference

CHANNELS: tuple[Difference, ...] = (
    Difference(
        "channels",
        QUERY,
        "CSV objects begin with a header",
        "the user guide's inference page says so; AWS's published samples say there is none",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the inference container",
        "channel_header",
    ),
    Difference(
        "channels",
        QUERY,
        "part-00000-<uuid>-c000.csv or .snappy.parquet, four files unless maxRecordsPerFile asks for more",
        "names and number are not documented; Spark names and divides so; AWS's samples expect no extension, too",
        "guessed",
        "Clean Rooms runs the query on Spark",
        "channel_file_names",
    ),
    Difference(
        "channels",
        QUERY,
        "of Spark's properties maxRecordsPerFile has its effect; shuffle.partitions, type and number of workers are "
        "taken and have none; all others are refused as not emulated",
        "a list of properties is allowed; workers decide about speed and price",
        "documented",
        "Clean Rooms user guide, Creating an ML input channel",
    ),
    Difference(
        "channels",
        QUERY,
        "after retentionInDays a channel's data is deleted, once no job reads it, and it is INACTIVE; a folder that a "
        "channel was bound to stays",
        "data is kept for these days; what the channel is afterwards is not documented",
        "guessed",
        "API reference, CreateMLInputChannel",
    ),
    Difference(
        "channels",
        QUERY,
        "queries are read as Spark SQL by sqlglot and run by DuckDB where it has Spark's values, or by Spark "
        "(query_engine), without ANSI mode unless spark_ansi is on; other syntax and functions are refused, and so are "
        "two columns of one name; sums of doubles may differ in the last digits",
        "Spark runs them, and cannot write two columns of one name; its version and ANSI mode are not documented",
        "documented",
        "Clean Rooms user guide, Creating an ML input channel",
        "spark_ansi",
    ),
    Difference(
        "channels",
        QUERY,
        "of analysis rules: allowed columns; join columns of LIST rules, equal to columns of tables in ON, USING and "
        "WHERE "
        "alone, with OR if allowedJoinOperators has it; columns that CUSTOM rules keep out of the output, equal to "
        "columns "
        "of tables or to values there; other rules are refused; LIST rules allow any join, not INNER JOIN alone",
        "aggregation rules, differential privacy and thresholds, too; what else CUSTOM rules let a query do with "
        "such columns is not documented",
        "documented",
        "Clean Rooms user guide, Analysis rules",
    ),
    Difference(
        "channels",
        QUERY,
        "an access budget is enforced: a query that succeeds costs one use of each of its tables. Periods are those of "
        "UTC, weeks begin on Monday; one that does not refresh ends for good, until the budget is changed. Channels "
        "show what is left now. Budgets of differential privacy are refused",
        "access budgets limit how often a table is used; when uses are counted is not documented",
        "guessed",
        "botocore's model of cleanrooms, AccessBudget",
    ),
    Difference(
        "channels",
        QUERY,
        "synthetic rows come from another generator, MST (arXiv:2108.04978): a tree of pairs of columns, measured with "
        "the noise of epsilon and of a delta of 1e-9. One half of the rows of the query makes as many rows as there "
        "are, the other half serves the attack, whose score is an area under the ROC curve. Bounds and categories are "
        "measured with noise; rare values are left out",
        "the service generates and evaluates the rows by its own methods, which are not documented; values of the "
        "original may appear",
        "guessed",
        "Clean Rooms user guide, Synthetic data generation",
    ),
    Difference(
        "channels",
        QUERY,
        "an analysis template uses tables whose CUSTOM rule lists its ARN, or lists ANY_QUERY and names the account of "
        "the template; those with a LIST rule it does not",
        "templates work with the CUSTOM rule, whose owner approves them one by one; whether ANY_QUERY lets them in, "
        "and what happens to tables with other rules, is not documented",
        "guessed",
        "Clean Rooms user guide, Analysis templates in AWS Clean Rooms",
    ),
    Difference(
        "channels",
        ("CreateAnalysisTemplate", *QUERY),
        "values of parameters are checked when they are given, and become literals of their Spark type; FLOAT has 4 "
        "bytes, DECIMAL the digits of its value, times without an offset are in UTC; NaN, and parameters that the text "
        "lacks, are refused",
        "a placeholder for a literal value; how values are read is not documented, and of FLOAT both 4 and 8 bytes are "
        "said",
        "guessed",
        "Clean Rooms SQL reference, Data types; Data type support by SQL engine",
    ),
    Difference(
        "channels",
        QUERY,
        "CSV is written as RFC 4180 says: quotes inside of quotes are doubled, backslashes are characters (the switch "
        "channel_csv_dialect); or as Spark's writer does by default, byte for byte. Columns with values that the two "
        "write differently are named in a warning",
        "not documented; the default of Spark, which runs the query, escapes quotes with backslashes, trims texts, and "
        "writes no rows of nothing but a null",
        "guessed",
        "what most readers take CSV for",
        "channel_csv_dialect",
    ),
    Difference(
        "channels",
        QUERY,
        "timestamps in Parquet are microseconds of UTC; in CSV milliseconds of UTC, with a Z",
        "the second as Spark writes it by default; its default in Parquet is INT96; what AWS sets is not documented",
        "guessed",
        "Spark SQL guide, CSV files; spark.sql.parquet.outputTimestampType",
    ),
    Difference(
        "channels",
        QUERY,
        "statusDetails.statusCode of a query is the code of protected queries where there is one: MALFORMED_QUERY, "
        "INVALID_RESOURCE, INSUFFICIENT_COMPUTE; the message begins with a code of cleanroom-algo",
        "these codes are documented for protected queries; whether channels show them is not",
        "guessed",
        "Clean Rooms user guide, Error codes for protected queries and jobs",
    ),
    Difference(
        "channels",
        TRAIN,
        "a base model's version is left out of what a version shows of its lineage, and asked for by leaving it out",
        'the model\'s text says "NULL" of it, which has too few characters for a request',
        "model",
        "botocore's model, IncrementalTrainingDataChannel",
    ),
    Difference(
        "channels",
        (*TRAIN, *INFER),
        "hidden files of a local folder are left out of a channel, and named in a warning; links are followed",
        "S3 has neither; what is uploaded to it is an object, whatever its name",
        "guessed",
        "what hides there is an engine's checksums or a desktop's notes, which a query's output in S3 does not have",
    ),
    Difference(
        "channels",
        TRAIN,
        "ShardedByS3Key deals the objects out in turn, by key",
        "about 1/n of the objects for each host; which ones is not documented",
        "guessed",
        "SageMaker API, S3DataSource",
    ),
    Difference(
        "channels",
        TRAIN,
        "s3DataDistributionType left out is FullyReplicated",
        "not documented by Clean Rooms; SageMaker's default",
        "guessed",
        "SageMaker API, S3DataSource",
        "default_distribution",
    ),
    Difference(
        "channels",
        TRAIN,
        "trainingInputMode left out is File",
        "not documented",
        "guessed",
        "the SageMaker SDK's default",
        "default_input_mode",
    ),
    Difference(
        "channels",
        TRAIN,
        "FastFile shows the objects whole, read-only: local ones at once, those of S3 once they are downloaded; on "
        "process hosts they are read-only copies, and writing fails the job",
        "a read-only mount that streams on demand",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "files of a FastFile channel can be read in any order, mapped into memory and locked, as those of a disk can",
        "random reads work, and reading from front to back is faster; maps and locks are not documented",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "a prefix in S3 is a folder or an object; one that is a part of names, has no objects, or has keys that are "
        "not paths is refused; keys that end with / are passed over",
        "for FastFile a prefix must not be a part of a name; other modes take whatever begins so",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "objects are listed once; one that is gone or changed when it is read fails the job",
        "what happens to a job whose objects change is not documented",
        "guessed",
        "S3 has conditional requests (If-Match)",
    ),
    Difference(
        "channels",
        TRAIN,
        "the objects of a pipe come in the order of their keys, in every epoch",
        "a ShuffleConfig reorders them in each epoch; Clean Rooms ML's requests have none, and no page says more",
        "guessed",
        "SageMaker API, ShuffleConfig",
        "pipe_order",
    ),
    Difference(
        "channels",
        TRAIN,
        "a base model arrives as model.tar.gz in the incremental channel",
        "not documented by Clean Rooms; SageMaker delivers a model channel as it lies in S3",
        "guessed",
        "SageMaker developer guide, Use incremental training",
        "base_model_form",
    ),
    Difference(
        "channels",
        TRAIN,
        "the incremental channel is delivered in File mode, whatever the input mode of the job is",
        "not documented by Clean Rooms; SageMaker asks for File mode in incremental training",
        "guessed",
        "SageMaker API, Channel.InputMode; developer guide, Use incremental training",
    ),
)


VERSIONS: tuple[Difference, ...] = (
    Difference(
        "versions",
        TRAIN,
        "incremental training without versionIdentifier starts from the latest version",
        "the API reference says the latest, the user guide the base",
        "documented",
        "API reference, IncrementalTrainingDataChannel",
        "incremental_default",
    ),
    Difference(
        "versions",
        ("GetTrainedModel", "GetCollaborationTrainedModel"),
        "without versionIdentifier the latest version is shown",
        "the API reference says so",
        "documented",
        "API reference, GetCollaborationTrainedModel",
        "get_default",
    ),
    Difference(
        "versions",
        INFER,
        "without trainedModelVersionIdentifier the base is used",
        "not documented",
        "guessed",
        "the base is what carries no version",
        "inference_default",
    ),
    Difference(
        "versions",
        EXPORT,
        "without trainedModelVersionIdentifier the base is exported",
        "not documented",
        "guessed",
        "the base is what carries no version",
        "export_default",
    ),
    Difference(
        "versions",
        ("ListTrainedModels", "ListCollaborationTrainedModels"),
        "a trained model is listed once, by its latest version",
        "not documented",
        "guessed",
        "ListTrainedModelVersions lists the versions",
        "list_models",
    ),
    Difference(
        "versions",
        TRAIN,
        "a version made by incremental training has the ARN of the model it starts from",
        "not documented",
        "guessed",
        "versions are listed under one ARN",
        "incremental_arn",
    ),
)
