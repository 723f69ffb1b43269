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
        "requests are parsed, validated and answered by botocore's model: maxima, patterns and enums too, all at once",
        "the service has the same model; how many faults it names at once, and its words, are not documented",
        "model",
        "botocore's model of cleanroomsml, 2023-09-06",
    ),
    Difference(
        "api",
        _EVERY,
        "the account is the access key id where that is twelve digits; signatures and IAM policies, such as "
        "cleanrooms:PassMembership and cleanrooms:PassCollaboration, are not looked at",
        "both are: every operation with a membership needs PassMembership, with a collaboration PassCollaboration",
        "documented",
        "Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _CREATES,
        "ARNs have the region that the client signs for, and the room is one for all regions",
        "resources are of one region, and unknown in the others",
        "documented",
        "AWS General Reference, Amazon Resource Names",
    ),
    Difference(
        "api",
        (*_CREATES, *_CONFIGURATION, *_CANCELS, *_DELETES, *_GETS, *_LISTS),
        "another's membership, and one that does not exist, are AccessDenied; another's resource is not found",
        "not documented; of these errors only AccessDenied is declared by every operation",
        "guessed",
        "errors that the operations declare",
    ),
    Difference(
        "api",
        (*QUERY, *TRAIN, *INFER),
        "a member without CAN_QUERY is denied",
        "the member who can query trains and infers",
        "documented",
        "Clean Rooms user guide, Prerequisites for custom ML modeling",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "only the membership that trained a model exports it and infers with it",
        "the member who trained; for inference the API's path says the same",
        "documented",
        "Clean Rooms user guide, Exporting model artifacts",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "output goes to <s3Uri>/<collaboration>/<model name>/<caller's account>/<job name>; the receiver needs its "
        "ability and an ML configuration with a destination, else the request is not valid",
        "the same place and conditions; which error it is, is not documented",
        "documented",
        "Clean Rooms user guide, Run inference jobs; Exporting model artifacts",
    ),
    Difference(
        "api",
        (*QUERY, *TRAIN, *INFER),
        "a payer that is named must be a member that pays for it by its membership; the one that does is the default",
        "members accept to pay when they join; which error another one is, is not documented",
        "guessed",
        "botocore's model, mlModelTrainingPayerAccountId, mlModelInferencePayerAccountId, payerConfiguration",
    ),
    Difference(
        "api",
        _OF_COLLABORATION,
        "shows what the shapes of these operations have: no keys, tags, environment, hyperparameters or queries",
        "the same",
        "model",
        "botocore's model; Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _DELETES,
        "any active member may ask for it; what a pending or running job uses is a conflict",
        "any active member may; what happens to jobs under way is not documented",
        "documented",
        "Clean Rooms user guide, IAM behaviors for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        (*_CANCELS, *_DELETES),
        "what was cancelled, or whose data was deleted, ends INACTIVE; a step that the states lack is a conflict",
        "the states have no CANCELLED and no DELETED; which one follows is not documented",
        "guessed",
        "botocore's model, TrainedModelStatus",
    ),
    Difference(
        "api",
        ("CancelTrainedModel", "DeleteTrainedModelOutput"),
        "without versionIdentifier the base model is meant, and nothing else",
        "the same",
        "documented",
        "API reference, CancelTrainedModel, DeleteTrainedModelOutput",
    ),
    Difference(
        "api",
        (_ALGORITHMS[0], _ASSOCIATIONS[0], *QUERY),
        "names are unique: algorithms in an account, associations and living channels in a membership",
        "these operations declare a conflict; for which names is not documented",
        "guessed",
        "errors that the operations declare",
    ),
    Difference(
        "api",
        TRAIN,
        "a trained model may have the name of another; with several members, the log says so",
        "a trained model's name is unique in the collaboration; which error another one is, is not documented",
        "documented",
        "Clean Rooms user guide, Creating a trained model; Use distributed training",
        "unique_model_names",
    ),
    Difference(
        "api",
        (*INFER, *EXPORT),
        "names of jobs may be given twice; outputs of jobs with one name go to one place",
        "not documented",
        "guessed",
        "no request names a job by its name",
    ),
    Difference(
        "api",
        (*TRAIN, *INFER, *EXPORT),
        "names of trained models and jobs may not have . or .. between slashes, strings no NUL and no half of a "
        "surrogate pair, channels not the names . and .., nor that of a file which another channel's objects bring;"
        " all are not valid",
        "the model's patterns allow them; what happens is not documented",
        "guessed",
        "they become folders, paths of outputs and variables of processes",
    ),
    Difference(
        "api",
        TRAIN,
        "several instances may be of any type, and the log says so",
        "distributed training has five instance types: ml.m5.2xlarge, 4xlarge and 12xlarge, ml.g5.12xlarge and "
        "24xlarge",
        "documented",
        "Clean Rooms user guide, Use distributed training; AWS's own examples use other types",
        "distributed_instance_types",
    ),
    Difference(
        "api",
        QUERY,
        "inputChannel.roleArn of another account than the caller's is denied; other roles are not looked at",
        "the same of this role; of others it is not said",
        "model",
        "botocore's model, InputChannel.roleArn",
        "foreign_roles",
    ),
    Difference(
        "api",
        (_ALGORITHMS[1], _ASSOCIATIONS[1]),
        "an algorithm with associations, and an association with jobs under way, are a conflict",
        "both operations declare a conflict; what for is not documented",
        "guessed",
        "errors that the operations declare",
    ),
    Difference(
        "api",
        _ALGORITHMS[:1],
        "imageUri may be the path of an algorithm's file or folder, too; images are those of this machine, with a tag "
        "or a digest",
        "an image in Amazon ECR, registry/repository[:tag]; older pages have digests; trainingContainerImageDigest "
        "shows its own",
        "documented",
        "Clean Rooms user guide, Configuring a model algorithm",
    ),
    Difference(
        "api",
        _CREATES,
        "roles and KMS keys are kept and shown, and not used",
        "they decide what may be read and written, and how it is encrypted",
        "documented",
        "Clean Rooms user guide, Setting up service roles for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        (*TRAIN, *INFER, *QUERY, _ALGORITHMS[0], _ASSOCIATIONS[0]),
        "the documented quotas hold, and are changed in settings.toml, [quotas]; but instances of types that the "
        "guide gives 0 are 10",
        "0 of most types until they are raised, which would forbid the guide's own examples",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _EVERY,
        "the server keeps the documented requests per second by account and operation; where no rate is documented, "
        "10, and where no burst is, the rate",
        "rates of some operations are documented, by region",
        "documented",
        "Clean Rooms user guide, Quotas for AWS Clean Rooms ML",
    ),
    Difference(
        "api",
        _LISTS,
        "lists show the latest first, 100 on a page, ten versions; a nextToken belongs to the lists of one operation",
        "ten versions are documented; order, other pages and the life of a token are not",
        "guessed",
        "API reference, ListTrainedModelVersions; the maximum of maxResults",
    ),
    Difference(
        "api",
        _TAGS,
        "50 tags on a resource; only its owner sees and sets them; versions of a model share theirs",
        "50 by the documentation, 200 by the model; the rest is not documented",
        "documented",
        "API reference, TagMap",
    ),
    Difference(
        "api",
        _CONFIGURATION,
        "s3:// URIs are folders of the state folder, or S3 where settings.toml, [machine], says so",
        "S3",
        "documented",
        "Clean Rooms user guide, Creating an ML configuration",
    ),
    Difference(
        "cleanrooms",
        (*_ROOM, *_TABLES, *_RULES),
        "of the operations of cleanrooms those that make, show, change or delete a collaboration, its members, tables, "
        "rules and analysis templates; all others are answered as not emulated",
        "103 operations",
        "model",
        "botocore's model of cleanrooms, 2022-02-17",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "the named member pays, else the one who can query; a named member who cannot query must accept it on joining",
        "the same; which error follows where a member does not is not documented",
        "documented",
        "API reference, MembershipPaymentConfiguration",
    ),
    Difference(
        "cleanrooms",
        _ENDS,
        "tables and templates of a removed member, and of all members of a deleted collaboration, are gone at once; "
        "who has left or was removed cannot join again; a membership with tables, templates, associations of "
        "algorithms, channels or models cannot be deleted; jobs that run go on",
        "the data of a removed member is inaccessible, and all resources of a membership must be deleted before it; "
        "which these are, and the rest, is not documented",
        "guessed",
        "botocore's model of cleanrooms, DeleteMember, DeleteMembership, DeleteCollaboration",
    ),
    Difference(
        "cleanrooms",
        _TABLES,
        "a table of AWS Glue is a file or folder that settings.toml, [glue_tables], names; roles are not used",
        "a table of the Data Catalog, read with the role",
        "documented",
        "Clean Rooms user guide, Configured tables",
    ),
    Difference(
        "cleanrooms",
        _RULES,
        "a table without an analysis rule cannot be queried; additionalAnalyses left out means not allowed; the rule "
        "of its association must name the algorithm's association, or a wildcard",
        "the same, but what additionalAnalyses left out means is not documented",
        "documented",
        "Clean Rooms user guide, Associating the configured model algorithm",
    ),
    Difference(
        "cleanrooms",
        ("CreateConfiguredTableAnalysisRule",),
        "allowedAnalysisProviders decides whose queries see a table, and is required with ANY_QUERY; the table "
        "rule's own allowedAdditionalAnalyses must name the algorithm's association, too",
        "required for ANY_QUERY; how both lists of additional analyses go together is not documented",
        "documented",
        "botocore's model, AnalysisRuleCustom",
    ),
    Difference(
        "cleanrooms",
        _RULES,
        "allowedResultReceivers is kept and shown, and decides nothing",
        "members who may receive results of queries; rows of ML input channels reach no member",
        "documented",
        "botocore's model, AnalysisRuleCustom, ConfiguredTableAssociationAnalysisRuleList",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "queryLogStatus, jobLogStatus, isMetricsEnabled and where results go by default are kept and shown; nothing"
        " is written to CloudWatch",
        "logs and metrics go to CloudWatch",
        "documented",
        "botocore's model of cleanrooms, CreateMembership",
    ),
    Difference(
        "cleanrooms",
        ("CreateCollaboration",),
        "dataEncryptionMetadata is kept where it allows cleartext, as nothing here is encrypted; else it is refused"
        " as not emulated",
        "columns that were encrypted before are joined and counted by its rules",
        "documented",
        "Clean Rooms user guide, Cryptographic Computing for Clean Rooms",
    ),
    Difference(
        "cleanrooms",
        _ROOM,
        "payers of synthetic data and of jobs are members like the others', where somebody is named; nothing has "
        "them pay",
        "the same; there is a default for neither",
        "documented",
        "botocore's model of cleanrooms, MembershipPaymentConfiguration",
    ),
)
