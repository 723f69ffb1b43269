"""The API itself: who may call, what it answers, quotas, states and lists."""

from __future__ import annotations

from cleanroom_algo.local.differences.difference import EXPORT, INFER, QUERY, TRAIN, Difference

_ALGORITHMS = ("CreateConfiguredModelAlgorithm", "DeleteConfiguredModelAlgorithm", "GetConfiguredModelAlgorithm")
_ASSOCIATIONS = (
    "CreateConfiguredModelAlgorithmAssociation",
    "DeleteConfiguredModelAlgorithmAssociation",
    "GetConfiguredModelAlgorithmAssociation",
)
_CONFIGURATION = ("PutMLConfiguration", "GetMLConfiguration", "DeleteMLConfiguration")
_TAGS = ("TagResource", "UntagResource", "ListTagsForResource")
_CANCELS = ("CancelTrainedModel", "CancelTrainedModelInferenceJob")
_DELETES = ("DeleteTrainedModelOutput", "DeleteMLInputChannelData")
_GETS = ("GetTrainedModel", "GetTrainedModelInferenceJob", "GetMLInputChannel")
_OF_COLLABORATION = (
    "GetCollaborationConfiguredModelAlgorithmAssociation",
    "GetCollaborationMLInputChannel",
    "GetCollaborationTrainedModel",
    "ListCollaborationConfiguredModelAlgorithmAssociations",
    "ListCollaborationMLInputChannels",
    "ListCollaborationTrainedModelExportJobs",
    "ListCollaborationTrainedModelInferenceJobs",
    "ListCollaborationTrainedModels",
)
_LISTS = (
    "ListConfiguredModelAlgorithmAssociations",
    "ListConfiguredModelAlgorithms",
    "ListMLInputChannels",
    "ListTrainedModelInferenceJobs",
    "ListTrainedModelVersions",
    "ListTrainedModels",
    *(name for name in _OF_COLLABORATION if name.startswith("List")),
)
_CREATES = (*TRAIN, *INFER, *EXPORT, *QUERY, _ALGORITHMS[0], _ASSOCIATIONS[0])
_EVERY = (
    *_CREATES,
    *_ALGORITHMS[1:],
    *_ASSOCIATIONS[1:],
    *_CONFIGURATION,
    *_TAGS,
    *_CANCELS,
    *_DELETES,
    *_GETS,
    *_LISTS,
    *(name for name in _OF_COLLABORATION if name.startswith("Get")),
)

_ROOM = ("CreateCollaboration", "CreateMembership")
_TABLES = ("CreateConfiguredTable", "CreateConfiguredTableAssociation")
_RULES = ("CreateConfiguredTableAnalysisRule", "CreateConfiguredTableAssociationAnalysisRule")

_ENDS = ("DeleteMembership", "DeleteMember", "DeleteCollaboration")

API: tuple[Difference, ...] = (
    Difference(
        "api",
        _EVERY,
        "botocore's model is used to parse and validate requests and to build responses. Maximum values, patterns and "
        "enumerations are checked too, and one response reports all errors of a request.",
        "The service has the same model. AWS does not document how many errors one response reports, nor the wording "
        "of its messages.",
        "model",
        "botocore's model of cleanroomsml, 2023-09-06",
    ),
    Difference(
        "api",
        _EVERY,
        "If the access key ID has twelve digits, it is the account of the caller. Signatures and IAM policies, such "
        "as cleanrooms:PassMembership and cleanrooms:PassCollaboration, are not checked.",
        "AWS checks both. Every operation on a membership needs cleanrooms:PassMembership, and every operation on a "
        "collaboration needs cleanrooms:PassCollaboration.",
        "documented",
        "Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _CREATES,
        "ARNs contain the region for which the client signs its requests. All regions share one local clean room.",
        "A resource belongs to one region and is unknown in the others.",
        "documented",
        "AWS General Reference, Amazon Resource Names",
    ),
    Difference(
        "api",
        (*_CREATES, *_CONFIGURATION, *_CANCELS, *_DELETES, *_GETS, *_LISTS),
        "The request fails with AccessDeniedException if the membership belongs to another account or does not exist. "
        "It fails with ResourceNotFoundException if it names a resource of another member that the caller cannot use.",
        "AWS does not document these cases. Of these errors, only AccessDeniedException is declared by every "
        "operation.",
        "guessed",
        "Errors that the operations declare",
    ),
    Difference(
        "api",
        (*QUERY, *TRAIN, *INFER),
        "The request fails with AccessDeniedException if the member does not have the ability CAN_QUERY.",
        "The member who can query trains models and runs inference.",
        "documented",
        "Clean Rooms user guide, Prerequisites for custom ML modeling",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "Only the membership that trained a model can export it or use it for inference.",
        "AWS documents this for the member who trained the model. For inference, the request path of the API implies "
        "the same.",
        "documented",
        "Clean Rooms user guide, Exporting model artifacts",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "Output is written to <s3Uri>/<collaboration>/<model name>/<caller's account>/<job name>. The receiver needs "
        "the matching ability and an ML configuration with a destination. Otherwise, the request fails with "
        "ValidationException.",
        "AWS documents the same location and the same conditions. It does not document which error follows.",
        "documented",
        "Clean Rooms user guide, Run inference jobs; Exporting model artifacts",
    ),
    Difference(
        "api",
        (*QUERY, *TRAIN, *INFER),
        "A payer named in the request must be a member whose membership pays for this cost. If the request names no "
        "payer, the member who pays for it is the default.",
        "Members accept to pay when they join. AWS does not document which error follows if the request names another "
        "member.",
        "guessed",
        "botocore's model, mlModelTrainingPayerAccountId, mlModelInferencePayerAccountId, payerConfiguration",
    ),
    Difference(
        "api",
        _OF_COLLABORATION,
        "The response contains only the fields in the output shape of the operation: no keys, tags, environment, "
        "hyperparameters or queries.",
        "The service has the same output shapes.",
        "model",
        "botocore's model; Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _DELETES,
        "Any active member can delete the data. The request fails with ConflictException while a pending or running "
        "job uses the data.",
        "Any active member can delete the data. AWS does not document what happens to pending and running jobs.",
        "documented",
        "Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        (*_CANCELS, *_DELETES),
        "A job that was cancelled and a resource whose data was deleted get the status INACTIVE. A request for a "
        "change of status that is not possible fails with ConflictException.",
        "The model has no status CANCELLED or DELETED. AWS does not document which status follows.",
        "guessed",
        "botocore's model, TrainedModelStatus",
    ),
    Difference(
        "api",
        ("CancelTrainedModel", "DeleteTrainedModelOutput"),
        "Without versionIdentifier, the request applies to the base model only.",
        "AWS documents the same behavior.",
        "documented",
        "API reference, CancelTrainedModel, DeleteTrainedModelOutput",
    ),
    Difference(
        "api",
        (_ALGORITHMS[0], _ASSOCIATIONS[0], *QUERY),
        "The names of algorithms must be unique in an account. The names of associations and of channels that have "
        "not ended must be unique in a membership.",
        "These operations declare ConflictException. AWS does not document for which names it occurs.",
        "guessed",
        "Errors that the operations declare",
    ),
    Difference(
        "api",
        TRAIN,
        "Two trained models can have the same name. If the collaboration has several members, a warning is logged.",
        "The name of a trained model is unique in the collaboration. AWS does not document which error follows for a "
        "second model with the same name.",
        "documented",
        "Clean Rooms user guide, Creating a trained model; Use distributed training",
        "unique_model_names",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "Several jobs can have the same name. Jobs of the same model and caller that share a name write their output "
        "to the same location.",
        "AWS does not document this.",
        "guessed",
        "No request refers to a job by its name",
    ),
    Difference(
        "api",
        (*TRAIN, *INFER, *EXPORT),
        "The request is not valid if the name of a trained model or job has . or .. between slashes, if a string "
        "contains NUL or half of a surrogate pair, or if a channel is named . or .. or like a file that SageMaker "
        "adds for another channel.",
        "The patterns of the model allow these values. AWS does not document what happens.",
        "guessed",
        "The values become folders, output paths and environment variables of processes",
    ),
    Difference(
        "api",
        TRAIN,
        "A job with several instances can use any instance type. If AWS does not document the type for distributed "
        "training, a warning is logged.",
        "Distributed training supports five instance types: ml.m5.2xlarge, ml.m5.4xlarge, ml.m5.12xlarge, "
        "ml.g5.12xlarge and ml.g5.24xlarge.",
        "documented",
        "Clean Rooms user guide, Use distributed training; AWS's own examples use other types",
        "distributed_instance_types",
    ),
    Difference(
        "api",
        QUERY,
        "The request fails with AccessDeniedException if inputChannel.roleArn is a role of another account than the "
        "caller's. Other roles are not checked.",
        "The model says the same of this role. It does not say whether other roles are checked.",
        "model",
        "botocore's model, InputChannel.roleArn",
        "foreign_roles",
    ),
    Difference(
        "api",
        (_ALGORITHMS[1], _ASSOCIATIONS[1]),
        "Deletion fails with ConflictException if the algorithm has associations, or if the association has pending "
        "or running jobs.",
        "Both operations declare ConflictException. AWS does not document when it occurs.",
        "guessed",
        "Errors that the operations declare",
    ),
    Difference(
        "api",
        _ALGORITHMS[:1],
        "imageUri can also be the path of an algorithm's file or folder. An image must be on this machine and have a "
        "tag or a digest.",
        "imageUri is an image in Amazon ECR, in the form registry/repository[:tag]. Older pages also show digests. "
        "trainingContainerImageDigest shows the digest of the image.",
        "documented",
        "Clean Rooms user guide, Configuring a model algorithm",
    ),
    Difference(
        "api",
        _CREATES,
        "Roles and KMS keys are stored and returned, but not used.",
        "Roles decide what can be read and written. KMS keys decide how it is encrypted.",
        "documented",
        "Clean Rooms user guide, Setting up service roles for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        (*TRAIN, *INFER, *QUERY, _ALGORITHMS[0], _ASSOCIATIONS[0]),
        "The documented quotas apply. You can change them in settings.toml, table [quotas]. Instance types for which "
        "the guide documents a quota of 0 have a quota of 10.",
        "The quota of most instance types is 0 until AWS raises it. With these quotas, the examples of the guide "
        "could not run.",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _EVERY,
        "The server limits each account and operation to the documented requests per second. If AWS documents no "
        "rate, the rate is 10. If AWS documents no burst, the burst equals the rate.",
        "AWS documents the rates of some operations, by region.",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _LISTS,
        "Lists return the latest item first. A page has 100 items, but a page of versions has 10. A nextToken is "
        "valid only for the lists of one operation.",
        "AWS documents the page of 10 versions. It does not document the order, the size of other pages, and the "
        "lifetime of a token.",
        "guessed",
        "API reference, ListTrainedModelVersions; the maximum of maxResults",
    ),
    Difference(
        "api",
        _TAGS,
        "A resource can have 50 tags. Only the owner of the resource can see and set them. All versions of a trained "
        "model share their tags.",
        "The limit is 50 in the documentation and 200 in the model. AWS does not document the rest.",
        "documented",
        "API reference, TagMap",
    ),
    Difference(
        "api",
        _CONFIGURATION,
        "An s3:// URI is a folder in the state folder, or a location in S3 if settings.toml, table [machine], says so.",
        "An s3:// URI is a location in Amazon S3.",
        "documented",
        "Clean Rooms user guide, Creating an ML configuration",
    ),
    Difference(
        "cleanrooms",
        (*_ROOM, *_TABLES, *_RULES),
        "The emulated operations of cleanrooms are those that create, read, change or delete a collaboration, its "
        "members, tables, rules, analysis templates and access budgets, and those that read schemas. All other "
        "operations fail as not emulated (CR-REQ-007).",
        "The API has 103 operations.",
        "model",
        "botocore's model of cleanrooms, 2022-02-17",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "The member who is named as payer pays. By default, the member who can query pays. A named member who cannot "
        "query must accept the payment when joining.",
        "AWS documents the same behavior. It does not document which error follows if a member does not accept.",
        "documented",
        "API reference, MembershipPaymentConfiguration",
    ),
    Difference(
        "cleanrooms",
        ("GetSchema", "BatchGetSchema"),
        "The types of the columns are those that the files of the table have. There are no partition keys. The status "
        "is that of queries for machine learning.",
        "The types and the partition keys come from the Data Catalog.",
        "guessed",
        "botocore's model of cleanrooms, Schema",
    ),
    Difference(
        "cleanrooms",
        _ENDS,
        "The tables and templates of a removed member are removed at once, and so are those of all members of a "
        "deleted collaboration. A member who left or was removed cannot join again. A membership with tables, "
        "templates, associations of algorithms, channels or models cannot be deleted. Running jobs continue.",
        "The data of a removed member is inaccessible. All resources of a membership must be deleted before the "
        "membership. AWS does not document which resources these are, and does not document the rest.",
        "guessed",
        "botocore's model of cleanrooms, DeleteMember, DeleteMembership, DeleteCollaboration",
    ),
    Difference(
        "cleanrooms",
        _TABLES,
        "A table of AWS Glue is a file or folder, on this machine or in S3, that settings.toml names in the table "
        "[glue_tables]. Roles are not used.",
        "A table of AWS Glue is a table of the Data Catalog. Clean Rooms reads it with the role.",
        "documented",
        "Clean Rooms user guide, Configured tables",
    ),
    Difference(
        "cleanrooms",
        _RULES,
        "A table without an analysis rule cannot be queried. If additionalAnalyses is omitted, additional analyses "
        "are not allowed. The analysis rule of the table association must name the algorithm's association, or match "
        "it with a wildcard.",
        "AWS documents the same behavior, but not what an omitted additionalAnalyses means.",
        "documented",
        "Clean Rooms user guide, Associating the configured model algorithm",
    ),
    Difference(
        "cleanrooms",
        ("CreateConfiguredTableAnalysisRule",),
        "allowedAnalysisProviders names the accounts whose queries can use a table. It is required with ANY_QUERY. If "
        "the rule of the table has its own allowedAdditionalAnalyses, that list must also name the algorithm's "
        "association.",
        "allowedAnalysisProviders is required with ANY_QUERY. AWS does not document how the two lists of additional "
        "analyses work together.",
        "documented",
        "botocore's model, AnalysisRuleCustom",
    ),
    Difference(
        "cleanrooms",
        _RULES,
        "allowedResultReceivers is stored and returned, but has no effect.",
        "allowedResultReceivers names the members who can receive results of queries. No member receives the rows of "
        "an ML input channel.",
        "documented",
        "botocore's model, AnalysisRuleCustom, ConfiguredTableAssociationAnalysisRuleList",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "queryLogStatus, jobLogStatus, isMetricsEnabled and the default location of results are stored and returned. "
        "Nothing is written to CloudWatch.",
        "Logs and metrics are written to CloudWatch.",
        "documented",
        "botocore's model of cleanrooms, CreateMembership",
    ),
    Difference(
        "cleanrooms",
        ("CreateCollaboration",),
        "dataEncryptionMetadata is stored if it allows cleartext, because the local clean room encrypts nothing. "
        "Otherwise, the request fails as not emulated (CR-REQ-007).",
        "Its rules decide how columns that were encrypted before are joined and counted.",
        "documented",
        "Clean Rooms user guide, Cryptographic Computing for Clean Rooms",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "If the request names payers of synthetic data or of jobs, they are checked, stored and returned like other "
        "payers. No operation charges them.",
        "AWS documents the same payers. These costs have no default payer.",
        "documented",
        "botocore's model of cleanrooms, MembershipPaymentConfiguration",
    ),
)
