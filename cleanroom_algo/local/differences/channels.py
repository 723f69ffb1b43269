"""ML input channels and their queries, and the versions of trained models."""

from __future__ import annotations

from cleanroom_algo.local.differences.difference import EXPORT, INFER, QUERY, TRAIN, Difference

CHANNELS: tuple[Difference, ...] = (
    Difference(
        "channels",
        QUERY,
        "CSV objects begin with a header.",
        "The inference page of the user guide says the same. The samples that AWS published say that there is no "
        "header.",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the inference container",
        "channel_header",
    ),
    Difference(
        "channels",
        QUERY,
        "Objects are named part-00000-<uuid>-c000.csv or part-00000-<uuid>-c000.snappy.parquet. There are four, "
        "unless maxRecordsPerFile requires more.",
        "AWS does not document the names and the number of objects. Spark uses these names and divides its output in "
        "this way. The samples of AWS also expect names without an extension.",
        "guessed",
        "Clean Rooms runs the query on Spark",
        "channel_file_names",
    ),
    Difference(
        "channels",
        QUERY,
        "spark.sql.files.maxRecordsPerFile has the effect that it has in Spark. spark.sql.shuffle.partitions and the "
        "type and number of workers are accepted without effect. Requests with other Spark properties fail as not "
        "emulated (CR-REQ-007).",
        "Clean Rooms allows a list of Spark properties. The workers affect speed and price.",
        "documented",
        "Clean Rooms user guide, Creating an ML input channel",
    ),
    Difference(
        "channels",
        QUERY,
        "After retentionInDays, the data of a channel is deleted as soon as no job reads it, and the channel becomes "
        "INACTIVE. If the channel is bound to a local folder, the folder is kept.",
        "AWS keeps the data for this number of days. It does not document the status of the channel afterwards.",
        "guessed",
        "API reference, CreateMLInputChannel",
    ),
    Difference(
        "channels",
        QUERY,
        "sqlglot parses queries as Spark SQL. DuckDB runs them if it returns the same values as Spark, or Spark runs "
        "them (setting query_engine). ANSI mode is off unless spark_ansi is on. Other syntax, other functions, and "
        "two columns with the same name are rejected. Sums of doubles may differ in the last digits.",
        "Spark runs the queries, and cannot write two columns with the same name. AWS does not document the version "
        "of Spark and whether ANSI mode is on.",
        "documented",
        "Clean Rooms user guide, Creating an ML input channel",
        "spark_ansi",
    ),
    Difference(
        "channels",
        QUERY,
        "A query can use the columns that the analysis rule of a table allows. The join columns of a LIST rule can be "
        "used only in ON, USING and WHERE, in an equality with columns of tables. OR can combine these conditions "
        "only if allowedJoinOperators contains it. Columns that a CUSTOM rule keeps out of the output can be used in "
        "the same places, in an equality with columns of tables or with values. LIST rules allow every type of join, "
        "not only INNER JOIN. Other rules are rejected.",
        "AWS also has aggregation rules, differential privacy and thresholds. It does not document what else a query "
        "can do with columns that a CUSTOM rule keeps out of the output.",
        "documented",
        "Clean Rooms user guide, Analysis rules",
    ),
    Difference(
        "channels",
        QUERY,
        "Access budgets are enforced: a query that succeeds costs one use of each of its tables. Periods are in UTC, "
        "and weeks begin on Monday. A budget that does not refresh stays exhausted until it is changed. Channels show "
        "the uses that are left now. Budgets of differential privacy are rejected.",
        "Access budgets limit how often a table can be used. AWS does not document when a use is counted.",
        "guessed",
        "botocore's model of cleanrooms, AccessBudget",
    ),
    Difference(
        "channels",
        QUERY,
        "Another generator, after MST (arXiv:2108.04978), creates the synthetic rows: a tree of pairs of columns, and "
        "pairs with the predictive column, measured with the noise of epsilon and of a delta of 1e-9. One half of the "
        "rows of the query makes as many rows as there are. The other half is used for the attack, whose score is an "
        "area under the ROC curve. Bounds and categories are measured with noise, and rare values are left out.",
        "AWS generates and evaluates the rows by its own methods, which it does not document. Original values may "
        "appear.",
        "guessed",
        "Clean Rooms user guide, Synthetic data generation",
    ),
    Difference(
        "channels",
        QUERY,
        "An analysis template can use a table whose CUSTOM rule lists the ARN of the template, or lists ANY_QUERY and "
        "names the account of the template. It cannot use a table with a LIST rule.",
        "Templates work with CUSTOM rules. The owner of a table approves them one by one. AWS does not document "
        "whether ANY_QUERY allows templates, and what happens with tables that have other rules.",
        "guessed",
        "Clean Rooms user guide, Analysis templates in AWS Clean Rooms",
    ),
    Difference(
        "channels",
        ("CreateAnalysisTemplate", *QUERY),
        "Values of parameters are checked when they are set, and become literals of their Spark type. FLOAT has 4 "
        "bytes, DECIMAL has the digits of its value, and times without an offset are in UTC. NaN is rejected, and so "
        "is a parameter that does not occur in the text.",
        "A parameter is a placeholder for a literal value. AWS does not document how values are parsed. For FLOAT, "
        "its pages say both 4 bytes and 8 bytes.",
        "guessed",
        "Clean Rooms SQL reference, Data types; Data type support by SQL engine",
    ),
    Difference(
        "channels",
        QUERY,
        "CSV is written as in RFC 4180: quotes inside quotes are doubled, and backslashes are ordinary characters. "
        "With the switch channel_csv_dialect, CSV is written byte for byte as Spark's writer does by default. A "
        "warning names columns with values that the two write differently.",
        "AWS does not document the dialect. By default, Spark, which runs the query, escapes quotes with backslashes, "
        "trims strings, and writes no rows that contain only a null.",
        "guessed",
        "Most readers expect CSV as in RFC 4180",
        "channel_csv_dialect",
    ),
    Difference(
        "channels",
        QUERY,
        "Timestamps in Parquet are microseconds in UTC, or INT96 with the engine spark. Timestamps in CSV are "
        "milliseconds in UTC, with a Z. A TIMESTAMP_NTZ has no Z.",
        "Spark writes timestamps in CSV like this by default. Its default in Parquet is INT96. AWS does not document "
        "which options it sets.",
        "guessed",
        "Spark SQL guide, CSV files; spark.sql.parquet.outputTimestampType",
        "channel_parquet_timestamps",
    ),
    Difference(
        "channels",
        QUERY,
        "statusDetails.statusCode of a failed query is the matching code of protected queries, if there is one: "
        "MALFORMED_QUERY, INVALID_RESOURCE or INSUFFICIENT_COMPUTE. The message begins with a code of cleanroom-algo.",
        "AWS documents these codes for protected queries. It does not document whether channels show them.",
        "guessed",
        "Clean Rooms user guide, Error codes for protected queries and jobs",
    ),
    Difference(
        "channels",
        TRAIN,
        "In the lineage of a version, a base model has no versionIdentifier. To refer to a base model, a request "
        "omits versionIdentifier.",
        'The text of the model says that the value is "NULL", which is too short for a request.',
        "model",
        "botocore's model, IncrementalTrainingDataChannel",
    ),
    Difference(
        "channels",
        (*TRAIN, *INFER),
        "Hidden files of a local folder are left out of a channel, and a warning names them. Links are followed.",
        "S3 has neither hidden files nor links. Every uploaded file is an object, whatever its name.",
        "guessed",
        "Hidden files are checksums of an engine or notes of a desktop, and the output of a query in S3 does not have "
        "them",
    ),
    Difference(
        "channels",
        TRAIN,
        "ShardedByS3Key assigns the objects to the hosts in turn, in the order of their keys.",
        "Each host gets about 1/n of the objects. AWS does not document which ones.",
        "guessed",
        "SageMaker API, S3DataSource",
    ),
    Difference(
        "channels",
        TRAIN,
        "The default of s3DataDistributionType is FullyReplicated.",
        "AWS does not document the default of Clean Rooms. FullyReplicated is the default of SageMaker.",
        "guessed",
        "SageMaker API, S3DataSource",
        "default_distribution",
    ),
    Difference(
        "channels",
        TRAIN,
        "The default of trainingInputMode is File.",
        "AWS does not document the default.",
        "guessed",
        "Default of the SageMaker SDK",
        "default_input_mode",
    ),
    Difference(
        "channels",
        TRAIN,
        "In FastFile mode, the objects are complete, read-only files. Local objects are available at once, and "
        "objects in S3 after they have been downloaded. On process hosts, they are read-only copies, and writing to "
        "them fails the job.",
        "FastFile mode is a read-only mount that streams objects on demand.",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "Files of a FastFile channel can be read in any order, mapped into memory and locked, like files on a disk.",
        "Random reads work, and sequential reads are faster. AWS does not document memory mapping and locks.",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "A prefix in S3 must be a folder or an object. It is rejected if it is only a part of a name, if it has no "
        "objects, or if a key is not a valid path. Keys that end with / are skipped.",
        "In FastFile mode, a prefix must not be a part of a name. Other modes use every object whose key begins with "
        "the prefix.",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Difference(
        "channels",
        TRAIN,
        "Objects are listed once. If an object has been deleted or changed when it is read, the job fails.",
        "AWS does not document what happens to a job whose objects change.",
        "guessed",
        "S3 has conditional requests (If-Match)",
    ),
    Difference(
        "channels",
        TRAIN,
        "In Pipe mode, the objects arrive in the order of their keys in every epoch.",
        "A ShuffleConfig of SageMaker changes the order in each epoch. Requests of Clean Rooms ML have no "
        "ShuffleConfig, and AWS does not document more.",
        "guessed",
        "SageMaker API, ShuffleConfig",
        "pipe_order",
    ),
    Difference(
        "channels",
        TRAIN,
        "A base model arrives as model.tar.gz in the incremental channel.",
        "AWS does not document this for Clean Rooms. SageMaker delivers a model channel as it is stored in S3.",
        "guessed",
        "SageMaker developer guide, Use incremental training",
        "base_model_form",
    ),
    Difference(
        "channels",
        TRAIN,
        "The incremental channel is delivered in File mode, in every input mode of the job.",
        "AWS does not document this for Clean Rooms. SageMaker requires File mode for incremental training.",
        "guessed",
        "SageMaker API, Channel.InputMode; developer guide, Use incremental training",
    ),
)


VERSIONS: tuple[Difference, ...] = (
    Difference(
        "versions",
        TRAIN,
        "Incremental training without versionIdentifier starts from the latest version.",
        "The API reference says that it starts from the latest version. The user guide says that it starts from the "
        "base model.",
        "documented",
        "API reference, IncrementalTrainingDataChannel",
        "incremental_default",
    ),
    Difference(
        "versions",
        ("GetTrainedModel", "GetCollaborationTrainedModel"),
        "Without versionIdentifier, the latest version is returned.",
        "The API reference says the same.",
        "documented",
        "API reference, GetCollaborationTrainedModel",
        "get_default",
    ),
    Difference(
        "versions",
        INFER,
        "Without trainedModelVersionIdentifier, the base model is used.",
        "AWS does not document this.",
        "guessed",
        "The base model is the one without a version identifier",
        "inference_default",
    ),
    Difference(
        "versions",
        EXPORT,
        "Without trainedModelVersionIdentifier, the base model is exported.",
        "AWS does not document this.",
        "guessed",
        "The base model is the one without a version identifier",
        "export_default",
    ),
    Difference(
        "versions",
        ("ListTrainedModels", "ListCollaborationTrainedModels"),
        "A trained model is listed once, with its latest version.",
        "AWS does not document this.",
        "guessed",
        "ListTrainedModelVersions lists the versions",
        "list_models",
    ),
    Difference(
        "versions",
        TRAIN,
        "A version that incremental training creates has the ARN of the model from which it starts.",
        "AWS does not document this.",
        "guessed",
        "Versions are listed under one ARN",
        "incremental_arn",
    ),
)
