"""Every error of the project.

```
CleanroomError
├── ContractError   CR-CON  what the platform gives a container
├── SchemaError     CR-SCH  the declared table and what was found
├── ChannelError    CR-CHN  bytes, formats and streams of a channel
├── DataError       CR-DAT  dividing a channel among ranks, resuming
├── TrainingError   CR-TRN  the training loop and its ranks
├── ArtifactError   CR-ART  what a job leaves behind, and its cap
├── BaseModelError  CR-BAS  what arrives in the incremental channel
├── ServingError    CR-SRV  answering inference requests
├── RequestError    CR-REQ  requests of the Clean Rooms ML API
├── RoomError       CR-ROM  the local clean room and its state
├── JobError        CR-JOB  jobs: training, inference, export
├── HostError       CR-HST  where a container runs
├── ImageError      CR-IMG  building and checking images
└── CliError        CR-CLI  calling the commands
```

A class is one error: its `code` is stable for ever, its docstring is what `cleanroom-algo explain CODE` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cleanroom_algo.contract.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input.

    Attributes:
        path: where: a JSON path (`dataChannels[1].channelName`) or `object:line:column`.
        message: what is wrong there; never a row value, a hyperparameter value or a secret.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CleanroomError(Exception):
    """The root: every error of the project can be caught by this class."""

    code: ClassVar[str] = "CR-000"
    title: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.ALGORITHM_FAILED

    def __init__(self, what: str, *, expected: str, fix: str, problems: Sequence[Problem] = ()) -> None:
        """Say what happened.

        Args:
            what: what happened, in which place.
            expected: what would have been right.
            fix: what the reader can do now.
            problems: all faults of one input, in its order.
        """
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.fix = fix
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [f"{self.code}  {self.title}", f"  what      {self.what}"]
        lines += [f"            - {problem}" for problem in self.problems]
        lines += [f"  expected  {self.expected}", f"  fix       {self.fix}"]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by their positional arguments alone; ranks send errors to their launcher.
        return _rebuild, (type(self), self.what, self.expected, self.fix, self.problems)

    def to_dict(self) -> dict[str, object]:
        """Return the error as JSON values: code, title, what, expected, fix, problems."""
        return {
            "code": self.code,
            "title": self.title,
            "what": self.what,
            "expected": self.expected,
            "fix": self.fix,
            "problems": [{"path": p.path, "message": p.message} for p in self.problems],
        }


def _rebuild(
    kind: type[CleanroomError], what: str, expected: str, fix: str, problems: tuple[Problem, ...]
) -> CleanroomError:
    return kind(what, expected=expected, fix=fix, problems=problems)


def all_errors() -> dict[str, type[CleanroomError]]:
    """Return every concrete error by its code, in the order of the codes."""

    def walk(kind: type[CleanroomError]) -> Iterator[type[CleanroomError]]:
        for child in kind.__subclasses__():
            yield child
            yield from walk(child)

    concrete = {kind.code: kind for kind in walk(CleanroomError) if "code" in vars(kind)}
    return dict(sorted(concrete.items()))


# --- CR-CON: the contract ---------------------------------------------------------------------------------------------


class ContractError(CleanroomError):
    """What the platform gives a container."""

    exit_code = ExitCode.CONTRACT


class ConfigFileError(ContractError):
    """The configuration of the job cannot be read.

    A container finds hyperparameters.json, inputdataconfig.json and resourceconfig.json below /opt/ml/input/config.
    They are missing when an algorithm is started by hand: use `cleanroom-algo train`, which lays them out as the
    platform does.
    """

    code = "CR-CON-001"
    title = "job configuration unreadable"


class HyperparameterError(ContractError):
    """The hyperparameters of the request do not fit the algorithm's declaration.

    All values arrive as strings; they may be bare or JSON-encoded. Unknown names are errors, because a misspelt
    hyperparameter that silently keeps its default costs a whole run in the clean room.
    """

    code = "CR-CON-002"
    title = "hyperparameters do not fit"


class SettingError(ContractError):
    """An environment variable that starts with CLEANROOM_ALGO_ is unknown or out of range.

    Every such variable is read; one that nothing reads would be silently without effect.
    """

    code = "CR-CON-003"
    title = "setting not usable"


class AlgorithmNotFoundError(ContractError):
    """There is no algorithm where the command or CLEANROOM_ALGO_ALGORITHM points.

    An algorithm is a Python file, a folder that holds algorithm.py, or an importable module.
    """

    code = "CR-CON-004"
    title = "algorithm not found"


class AlgorithmClassError(ContractError):
    """The algorithm's file does not define exactly one class of the kind that is needed.

    `train` needs one subclass of Trainer, `serve` one subclass of Predictor; both may stand in one file.
    """

    code = "CR-CON-005"
    title = "no single class to run"


class ChannelNotInJobError(ContractError):
    """The algorithm asks for a channel that the job does not have.

    The channels of a job are those of inputdataconfig.json, named by dataChannels[].channelName of the request.
    """

    code = "CR-CON-006"
    title = "no such channel"


class ScriptNamesError(ContractError):
    """The sagemaker-training toolkit could not supply the SM_* names of a script.

    It is needed only for scripts written for SageMaker; a Trainer gets the same facts from `self.environment`.
    """

    code = "CR-CON-007"
    title = "SM_* names not available"


# --- CR-SCH: schemas --------------------------------------------------------------------------------------------------


class SchemaError(CleanroomError):
    """The declared table and what was found."""

    exit_code = ExitCode.CONTRACT


class InvalidSchemaError(SchemaError):
    """The schema that an algorithm declares cannot be used: no such type, a name twice, a target that is no column."""

    code = "CR-SCH-001"
    title = "invalid schema"


class RowMismatchError(SchemaError):
    """A row does not fit the declared schema.

    It has too many or too few fields, a field that is not of the column's type, or nothing where a value is required.
    The message names object, line and column and never shows the value. Lines are counted from 1, the header included.
    """

    code = "CR-SCH-002"
    title = "a row does not fit the schema"


class ColumnsMismatchError(SchemaError):
    """The columns of an object are not those of the declared schema: names missing, names unknown, or other types.

    CSV headers may name the declared columns in any order; Parquet and JSON Lines are read by name.
    """

    code = "CR-SCH-003"
    title = "columns do not fit the schema"


class FeaturesError(SchemaError):
    """Fitted features cannot be used: their stored form is wrong, or the table they meet lacks their columns."""

    code = "CR-SCH-004"
    title = "features do not fit"


# --- CR-CHN: channels -------------------------------------------------------------------------------------------------


class ChannelError(CleanroomError):
    """Bytes, formats and streams of a channel."""

    exit_code = ExitCode.CONTRACT


class ChannelMissingError(ChannelError):
    """A channel that the algorithm asks for is not among the job's channels, or has no directory."""

    code = "CR-CHN-001"
    title = "no such channel"


class NotFilesError(ChannelError):
    """Files were asked of a channel that is delivered as a stream, or the other way round."""

    code = "CR-CHN-002"
    title = "wrong input mode for this reader"


class ObjectUnreadableError(ChannelError):
    """An object cannot be opened or read: it vanished after it was listed, changed its size, or is not readable."""

    code = "CR-CHN-003"
    title = "object unreadable"


class UnknownFormatError(ChannelError):
    """The bytes of an object are in none of the formats that are read: CSV, Parquet, JSON Lines, RecordIO, gzip."""

    code = "CR-CHN-004"
    title = "unknown format"


class CorruptObjectError(ChannelError):
    """An object or stream is cut short or damaged: a truncated gzip, half a record, a Parquet file without footer."""

    code = "CR-CHN-005"
    title = "object damaged or cut short"


class RowTooLongError(ChannelError):
    """No end of a row was found within the bound that keeps memory flat; often a quote that is never closed."""

    code = "CR-CHN-006"
    title = "row too long"


class PipeTimeoutError(ChannelError):
    """A pipe did not appear, nobody began to write into it, or it stayed silent longer than the limit.

    The limit is the setting CLEANROOM_ALGO_PIPE_TIMEOUT_SECONDS. The usual cause is an epoch that the platform does not
    serve because the one before was not read to its end or closed.
    """

    code = "CR-CHN-007"
    title = "no data in the pipe"


class PipeInUseError(ChannelError):
    """A second reader asked for a pipe that another one of this container is reading.

    Two readers of one pipe each get about half of the bytes, cut anywhere, and no error. One process reads the channel
    and hands whole batches to the others.
    """

    code = "CR-CHN-008"
    title = "pipe already being read"


class JoinedRowsError(ChannelError):
    """Two objects of a stream ran together: one has no final line break, and where its row ends cannot be proven."""

    code = "CR-CHN-009"
    title = "rows of two objects ran together"


class SpoolLimitError(ChannelError):
    """An object that must be spooled (Parquet in a stream) does not fit into the bound or onto the disk."""

    code = "CR-CHN-010"
    title = "object too large to spool"


# --- CR-DAT: data -----------------------------------------------------------------------------------------------------


class DataError(CleanroomError):
    """Dividing a channel among ranks, and resuming."""

    exit_code = ExitCode.CONTRACT


class PipeRanksError(DataError):
    """Several ranks of one host would read the same named pipe.

    The platform writes each byte of a channel once per host; readers of one pipe would split its bytes at random.
    """

    code = "CR-DAT-001"
    title = "one pipe, several ranks"


class DataStateError(DataError):
    """A position in the data cannot be taken up.

    Which rows have been read follows from the seed, the epoch, the batch size and the layout; with another of them the
    rest of the epoch would repeat some rows and miss others.
    """

    code = "CR-DAT-002"
    title = "position of another run"


# --- CR-TRN: training -------------------------------------------------------------------------------------------------


class TrainingError(CleanroomError):
    """The training loop and its ranks."""


class AlgorithmExitError(TrainingError):
    """The algorithm's own code called sys.exit() before training ended and its artifacts were saved.

    A job that exits 0 counts as completed, so leaving in the middle is always a failure. Raise an exception that says
    what is wrong; its message reaches the failure file.
    """

    code = "CR-TRN-001"
    title = "the algorithm left in the middle"


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
    """The loss is not a finite number, or is no scalar tensor that depends on the model.

    Usual causes: a learning rate that is too large, a target outside its range, features that were not standardised.
    """

    code = "CR-TRN-007"
    title = "loss not usable"


class ScriptFailedError(TrainingError):
    """A training script ended with a status other than 0."""

    code = "CR-TRN-008"
    title = "training script failed"


class CheckpointError(TrainingError):
    """A checkpoint cannot be written or does not fit the algorithm that resumes from it."""

    code = "CR-TRN-009"
    title = "checkpoint not usable"


class NoDataError(TrainingError):
    """The training channel holds no row on any host."""

    exit_code = ExitCode.CONTRACT
    code = "CR-TRN-010"
    title = "nothing to train on"


# --- CR-ART: artifacts ------------------------------------------------------------------------------------------------


class ArtifactError(CleanroomError):
    """What a job leaves behind, and its cap."""


class ManifestError(ArtifactError):
    """The model directory has no readable manifest.json.

    A Trainer writes it last, so a directory without one was not written whole, or by something else.
    """

    code = "CR-ART-001"
    title = "no usable manifest"


class ArtifactChangedError(ArtifactError):
    """Files of the artifacts differ from what the manifest lists.

    Each file is listed with its size and SHA-256. A difference means that the artifacts were cut short or changed.
    """

    code = "CR-ART-002"
    title = "artifacts differ from their manifest"


class ArtifactTooLargeError(ArtifactError):
    """The artifacts would be larger than the cap of the association (trainedModels.maxArtifactSize).

    The cap reaches the container as the setting CLEANROOM_ALGO_MAX_ARTIFACT_GB, counted before packing, which is the
    stricter reading. Sizes of tensors are known before a byte is written, so nothing partial is left: the artifacts of
    the last good state stay as they are. Leave the optimizer out (`save_optimizer = False`), or store halves
    (`save_dtype = "bfloat16"`).
    """

    code = "CR-ART-003"
    title = "model artifacts too large"


class ArtifactWriteError(ArtifactError):
    """The disk did not take the artifacts: full, read-only, over a quota, or a failed fsync.

    The artifacts of the last good state stay as they are.
    """

    code = "CR-ART-004"
    title = "artifacts not written"


class ArtifactClashError(ArtifactError):
    """Two files of the artifacts have one name, or a name that cannot be used."""

    code = "CR-ART-005"
    title = "artifact names clash"


# --- CR-BAS: base model -----------------------------------------------------------------------------------------------


class BaseModelError(CleanroomError):
    """What arrives in the incremental channel."""

    exit_code = ExitCode.CONTRACT


class UnsafeArchiveError(BaseModelError):
    """The packed base model holds something that a model never needs.

    Links, devices, paths that lead elsewhere, names twice, or more files and bytes than the limits. A base model is
    another party's file: nothing of a refused archive is used.
    """

    code = "CR-BAS-001"
    title = "base model archive refused"


class BaseModelNotFoundError(BaseModelError):
    """The job has a channel for the base model, and no model is in it."""

    code = "CR-BAS-002"
    title = "no base model in the channel"


class BaseModelMismatchError(BaseModelError):
    """The base model was written by another algorithm, or for another schema."""

    code = "CR-BAS-003"
    title = "base model does not fit"


class TensorMismatchError(BaseModelError):
    """The tensors of the base model are not those of the model: names missing or unknown, other shapes or types.

    `base_fresh` names tensors that may start anew (a new head), `base_grow` those of which the first rows are taken
    (a grown embedding).
    """

    code = "CR-BAS-004"
    title = "tensors do not fit"


class UnsafeFileError(BaseModelError):
    """A file of the base model could run code when it is loaded, or claims more memory than it holds.

    Tensors are read from safetensors, or by torch.load(weights_only=True). A pickle (also joblib) is opened only where
    the algorithm names it in `trusted_pickles`: whoever wrote it can run code here.
    """

    code = "CR-BAS-005"
    title = "file of the base model refused"


class BaseModelUnreadableError(BaseModelError):
    """The base model is cut short or damaged, or does not fit on the disk."""

    code = "CR-BAS-006"
    title = "base model unreadable"


# --- CR-SRV: serving --------------------------------------------------------------------------------------------------


class ServingError(CleanroomError):
    """Answering inference requests."""

    http_status: ClassVar[int] = 500


class BodyTooLargeError(ServingError):
    """A request is larger than the server takes.

    A batch transform job sends at most 100 MB in one request (SageMaker API, CreateTransformJob, MaxPayloadInMB).
    Line formats sent with chunked transfer encoding have no limit, as they are answered block by block; one record, and
    a body of another format, must fit into the limit.
    """

    code = "CR-SRV-001"
    title = "request too large"
    http_status = 413


class BodyIncompleteError(ServingError):
    """A request ended before its declared end, or its transfer or content encoding is broken.

    Answering the part that arrived would lose records without a word, so nothing of it is answered.
    """

    code = "CR-SRV-002"
    title = "request body incomplete"
    http_status = 400


class ContentTypeError(ServingError):
    """The Content-Type, its charset or the Content-Encoding of a request is not one that the server reads."""

    code = "CR-SRV-003"
    title = "content type not readable"
    http_status = 415


class NotAcceptableError(ServingError):
    """The Accept header of a request names no content type that the server writes."""

    code = "CR-SRV-004"
    title = "no acceptable content type"
    http_status = 406


class BadRecordError(ServingError):
    """Records of a request do not fit the schema that travels in the artifacts.

    The positions are named, the values never. With CLEANROOM_ALGO_SERVE_BAD_RECORDS=placeholder such records are
    answered by a placeholder instead, so that one of them does not cost the whole object of a batch transform job.
    """

    code = "CR-SRV-005"
    title = "records do not fit"
    http_status = 400


class OverloadedError(ServingError):
    """More requests arrived than the server holds in its queue; the answer says when to come again."""

    code = "CR-SRV-006"
    title = "server busy"
    http_status = 503


class PredictionShapeError(ServingError):
    """The algorithm's `predict` did not give exactly one prediction per row."""

    code = "CR-SRV-007"
    title = "predictions do not match the rows"


class PredictionFailedError(ServingError):
    """The algorithm's own code raised while it predicted.

    The exception's type and place are told; its message is left out, because it may quote a row. Set
    CLEANROOM_ALGO_LOG_LEVEL=DEBUG, on data that may be seen, to have the whole traceback in the log.
    """

    code = "CR-SRV-008"
    title = "prediction failed"


class BodyTimeoutError(ServingError):
    """A client sent its request too slowly; the connection was given up so that others are served."""

    code = "CR-SRV-009"
    title = "request too slow"
    http_status = 408


class ServerStartError(ServingError):
    """The server could not start: the model does not predict, its processes keep dying, or the port is taken."""

    code = "CR-SRV-010"
    title = "server cannot start"


class ModelFilesError(ServingError):
    """The model directory lacks what the predictor asks of it: weights, features or a schema."""

    code = "CR-SRV-011"
    title = "model files missing"


# --- CR-REQ: API requests ---------------------------------------------------------------------------------------------


class RequestError(CleanroomError):
    """Requests of the Clean Rooms ML API.

    Attributes:
        modelled: the exception of botocore's model that a boto3 client receives.
        http_status: of the response.
    """

    exit_code = ExitCode.CONTRACT
    modelled: ClassVar[str] = "ValidationException"
    http_status: ClassVar[int] = 400


class InvalidRequestError(RequestError):
    """The request breaks the API's model, or a rule that the documentation states beside it.

    Every fault is listed with its JSON path. boto3 itself checks only required members, types and minimum lengths; the
    service, and this room, check maxima, patterns, enums and unknown members as well. boto3 clients get a
    ValidationException (HTTP 400).
    """

    code = "CR-REQ-001"
    title = "request not valid"


class ConflictError(RequestError):
    """The request contradicts the state of a resource: it exists already, is still in use, or is not in a state for it.

    boto3 clients get a ConflictException (HTTP 409).
    """

    code = "CR-REQ-002"
    title = "conflict with the state of a resource"
    modelled = "ConflictException"
    http_status = 409


class ResourceNotFoundError(RequestError):
    """The request names a resource that the room does not have, or that lies outside the named membership.

    boto3 clients get a ResourceNotFoundException (HTTP 404).
    """

    code = "CR-REQ-003"
    title = "resource not found"
    modelled = "ResourceNotFoundException"
    http_status = 404


class AccessDeniedError(RequestError):
    """The calling account may not do this: the membership is another's, or the member lacks the ability.

    The account is the access key id where that is twelve digits, else the room's default account. boto3 clients get
    an AccessDeniedException (HTTP 403).
    """

    code = "CR-REQ-004"
    title = "access denied"
    modelled = "AccessDeniedException"
    http_status = 403


class QuotaExceededError(RequestError):
    """A quota of the service would be exceeded (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML").

    The quotas are on by default, because the first call in a new account meets them, and can be changed in the room's
    settings. boto3 clients get a ServiceQuotaExceededException (HTTP 402) with quotaName and quotaValue.
    """

    code = "CR-REQ-005"
    title = "quota exceeded"
    modelled = "ServiceQuotaExceededException"
    http_status = 402
    quota_name: str = ""
    quota_value: float = 0.0


class ThrottledError(RequestError):
    """Requests come faster than the service's rate for this operation; only where the room is told to throttle.

    boto3 clients get a ThrottlingException (HTTP 429) and try again.
    """

    code = "CR-REQ-006"
    title = "too many requests"
    modelled = "ThrottlingException"
    http_status = 429


class NotEmulatedError(RequestError):
    """The request is legal, and the local clean room does not emulate it.

    Nothing that is asked for is ignored in silence. `cleanroom-algo differences` lists what is not emulated. boto3
    clients get an error named NotEmulatedException (HTTP 501), which the service's model does not have.
    """

    code = "CR-REQ-007"
    title = "not emulated"
    exit_code = ExitCode.NOT_EMULATED
    modelled = "NotEmulatedException"
    http_status = 501


class UnknownOperationError(RequestError):
    """No operation of the API has this method and path, or this name."""

    code = "CR-REQ-008"
    title = "no such operation"
    modelled = "UnknownOperationException"
    http_status = 404


class ServiceFailureError(RequestError):
    """The local clean room itself failed to answer: a defect of cleanroom-algo. The server's log has the traceback.

    boto3 clients get an InternalServiceException (HTTP 500).
    """

    code = "CR-REQ-009"
    title = "the local clean room failed"
    exit_code = ExitCode.INTERNAL
    modelled = "InternalServiceException"
    http_status = 500


# --- CR-ROM: the local clean room -------------------------------------------------------------------------------------


class RoomError(CleanroomError):
    """The local clean room and its state."""

    exit_code = ExitCode.CONTRACT


class RoomInUseError(RoomError):
    """Another `cleanroom-algo up` serves this state folder: two of them would run each job twice."""

    code = "CR-ROM-001"
    title = "state folder in use"
    exit_code = ExitCode.USAGE


class RoomStateError(RoomError):
    """The records in the state folder cannot be used: unreadable, damaged, or written by a later version."""

    code = "CR-ROM-002"
    title = "state folder not usable"


class BindingError(RoomError):
    """The resources that a request file names cannot be bound to local files.

    `train --request FILE --algorithm PATH --channel NAME=PATH` stands an algorithm and folders in for the association
    and the ML input channels whose ARNs the request holds. Each channel of the request needs one, unless the room has
    a channel of that ARN already.
    """

    code = "CR-ROM-003"
    title = "request cannot be bound"


class ObjectStoreError(RoomError):
    """Objects cannot be read or written: the location is no s3:// URI, escapes its folder, or the store refuses."""

    code = "CR-ROM-004"
    title = "objects not usable"


class RoomSettingsError(RoomError):
    """The file settings.toml of the state folder cannot be read, or names a quota or switch that does not exist."""

    code = "CR-ROM-005"
    title = "room settings not usable"


class DeclarationError(RoomError):
    """A cleanroom.toml does not declare a room.

    The file declares a collaboration, its members, their tables, algorithms and ML input channels; paths in it are
    relative to its folder. Names that refer to each other must be declared.
    """

    code = "CR-ROM-006"
    title = "room not declared"


# --- CR-JOB: jobs -----------------------------------------------------------------------------------------------------


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
    """The inference container did not become ready, or ended while the job still needed it.

    It is started with the argument `serve`, and GET /ping on port 8080 must answer 200 (SageMaker developer guide,
    "Use your own inference code with batch transform"). A container that cannot load its model should exit at once,
    with a status other than 0: the platform would otherwise keep asking for half an hour.
    """

    code = "CR-JOB-202"
    title = "inference container not ready"


class InferenceRequestError(JobError):
    """The container answered a request of the job with an error, or not at all, in every attempt.

    The object that the request belongs to has no output then, as a part of it would have lost records; the outputs of
    other objects stay.
    """

    code = "CR-JOB-203"
    title = "inference request failed"


class InferenceOutputTooLargeError(JobError):
    """The output of an inference job is larger than its cap (trainedModelInferenceJobs.maxOutputSize)."""

    code = "CR-JOB-204"
    title = "inference output too large"


class QueryError(JobError):
    """The query of an ML input channel cannot be run.

    A query sees the tables of its collaboration and their allowed columns, nothing else: no files, no network. Join
    columns of a table with a LIST rule may be compared, not selected.
    """

    code = "CR-JOB-401"
    title = "query refused"
    exit_code = ExitCode.CONTRACT


class ExportTooLargeError(JobError):
    """The files to export are larger than the policy of the association allows.

    The cap is privacyConfiguration.policies.trainedModelExports.maxSize; larger data "will not be exported".
    """

    code = "CR-JOB-501"
    title = "export over its cap"


# --- CR-HST: hosts ----------------------------------------------------------------------------------------------------


class HostError(CleanroomError):
    """Where a container runs."""


class HostStartError(HostError):
    """A host cannot be started.

    Process and sandbox hosts run an algorithm that lies in a file or folder of this machine; images need a docker host.
    """

    code = "CR-HST-001"
    title = "host cannot be started"


# --- CR-IMG: images ---------------------------------------------------------------------------------------------------


class ImageError(CleanroomError):
    """Building and checking images."""

    exit_code = ExitCode.CONTRACT


# --- CR-CLI: commands -------------------------------------------------------------------------------------------------


class CliError(CleanroomError):
    """Calling the commands."""

    exit_code = ExitCode.USAGE


class UsageError(CliError):
    """A command was called with words that it does not know, or without ones that it needs."""

    code = "CR-CLI-001"
    title = "command not understood"


class UnknownTopicError(CliError):
    """`cleanroom-algo explain` knows the codes of errors, `settings` and `exit-status`."""

    code = "CR-CLI-002"
    title = "nothing to explain"


class InputFileError(CliError):
    """A file or folder that the command line names cannot be used: it is missing, unreadable or no JSON object.

    A request file holds the parameters of one API operation as JSON, as `aws cleanroomsml ... --cli-input-json` and
    boto3 take them.
    """

    code = "CR-CLI-003"
    title = "file not usable"


class AlgorithmImportError(CliError):
    """The algorithm's own file raised while it was imported, so nothing can be read from its classes."""

    code = "CR-CLI-004"
    title = "algorithm does not import"
    exit_code = ExitCode.ALGORITHM_FAILED


class ExtraMissingError(CliError):
    """A command needs a part that is not installed: the base installation is only what an image needs.

    `pip install 'cleanroom-algo[local]'` adds the local clean room.
    """

    code = "CR-CLI-005"
    title = "extra not installed"


class NoSuchRecordError(CliError):
    """No model, version, channel or job of the room has the name or ARN that the command line gives."""

    code = "CR-CLI-007"
    title = "not in the room"


class InternalError(CliError):
    """A defect of cleanroom-algo itself. A report with the traceback was written to the named file."""

    code = "CR-CLI-006"
    title = "defect of cleanroom-algo"
    exit_code = ExitCode.INTERNAL
