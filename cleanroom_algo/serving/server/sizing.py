"""The number of serving processes and threads, and the answer of /execution-parameters, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.sizes import MB, format_bytes
from cleanroom_algo.serving.scoring.body import MAX_BODY_BYTES, WHOLE_BYTES

MAX_PRODUCT_MB = 100  # MaxConcurrentTransforms x MaxPayloadInMB (SageMaker API, CreateTransformJob)
DEFAULT_PAYLOAD_MB = 6  # the platform's own default, from the same page

PROCESS_BYTES = 250 * MB  # private memory of a forked process, measured with torch, polars and flask loaded
BLOCK_COPIES = 12  # bytes of memory per byte of a piece while it is parsed, predicted and written; measured
SPARE_THREADS = 8  # for /ping and for refusals while all other threads wait for slow clients
TARGET_SECONDS = 60  # of one request: a tenth of the platform's default timeout of 600 s


@dataclass(frozen=True, slots=True)
class Machine:
    """What the server may use.

    Attributes:
        cores: the number of cores that it may keep busy.
        memory_bytes: of the container.
        gpus: the number that torch can use.
        affine_cores: the numbers of the cores on which it may run: more than `cores` if there is a quota of CPU time;
            empty if the system does not report them.
    """

    cores: int
    memory_bytes: int
    gpus: int = 0
    affine_cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """The layout of the server.

    Attributes:
        workers: processes.
        compute_threads: of torch and polars in each.
        predictions: how many one process runs at once.
        queue: requests that may wait in one process.
        preload: whether the model is loaded before the processes fork.
        buffer_bytes: how many bytes of complete bodies one process may keep.
        own_cores: for each process, the number of the core to which it is pinned; empty if all may run on all cores.
        reasons: for the log.
    """

    workers: int
    compute_threads: int
    predictions: int
    queue: int
    preload: bool
    buffer_bytes: int
    own_cores: tuple[int, ...]
    reasons: tuple[str, ...]

    @property
    def threads(self) -> int:
        """Threads of one process that handle requests."""
        return self.predictions + self.queue + SPARE_THREADS


def plan_server(machine: Machine, model_bytes: int, environment: InferenceEnvironment, *, can_fork: bool) -> ServerPlan:
    """Return the layout for a machine and a model.

    Args:
        machine: cores, memory and GPUs.
        model_bytes: of the artifacts.
        environment: of the container; its settings have precedence.
        can_fork: whether a loaded model survives a fork on this system.
    """
    settings = environment.settings
    preload = can_fork and machine.gpus == 0 if settings.serve_preload is None else settings.serve_preload
    own = PROCESS_BYTES + BLOCK_COPIES * WHOLE_BYTES + (0 if preload else 2 * model_bytes)
    shared = 2 * model_bytes if preload else 0  # once as loaded, once for what loading and predicting add
    by_memory = max(1, int((0.8 * machine.memory_bytes - shared) // own))
    if settings.serve_workers is not None:
        workers, why = settings.serve_workers, "as CLEANROOM_ALGO_SERVE_WORKERS says"
    elif machine.gpus:
        workers, why = machine.gpus, "one for each GPU"
    elif by_memory < machine.cores:
        workers = by_memory
        memory, model = format_bytes(machine.memory_bytes), format_bytes(model_bytes)
        why = f"more would not fit into {memory} of memory with a model of {model}"
    else:
        workers, why = machine.cores, "one for each core"
    compute_threads = max(1, machine.cores // workers)
    # A process has several threads that take turns. Without pinning, the kernel often runs those of two processes on
    # one core for milliseconds while another core is idle. If there is a quota, it is not known which cores are free.
    own_cores = machine.affine_cores if workers == machine.cores == len(machine.affine_cores) > 1 else ()
    buffer_bytes = max(MAX_BODY_BYTES, int(0.2 * machine.memory_bytes) // workers)
    return ServerPlan(
        workers=workers,
        compute_threads=compute_threads,
        predictions=1,
        queue=settings.serve_queue,
        preload=preload,
        buffer_bytes=buffer_bytes,
        own_cores=own_cores,
        reasons=(
            f"{workers} serving process(es): {why}{', pinned to it' if own_cores else ''}",
            f"{compute_threads} compute thread(s) for each process, of {machine.cores} core(s) in all",
            "the model is loaded once and shared by all processes"
            if preload
            else "each process loads the model, because a loaded model cannot be shared here",
            f"each process predicts one request at a time; up to {settings.serve_queue} wait, and more get status 503",
        ),
    )


@dataclass(frozen=True, slots=True)
class ExecutionParameters:
    """The answer of GET /execution-parameters.

    (SageMaker developer guide, "Use your own inference code with batch transform". Values of the request have
    precedence.)
    """

    max_concurrent_transforms: int
    batch_strategy: str
    max_payload_mb: int
    reason: str

    def to_dict(self) -> dict[str, int | str]:
        """Return the answer's JSON, in the platform's spelling."""
        return {
            "MaxConcurrentTransforms": self.max_concurrent_transforms,
            "BatchStrategy": self.batch_strategy,
            "MaxPayloadInMB": self.max_payload_mb,
        }


def execution_parameters(
    plan: ServerPlan, environment: InferenceEnvironment, bytes_per_second: float | None
) -> ExecutionParameters:
    """Return how much a job should send at once.

    Args:
        plan: the layout of this server.
        environment: of the container; limits that the caller of the job set are returned unchanged.
        bytes_per_second: of CSV that one process answers, measured in its warm-up; None if it was not measured.
    """
    if environment.max_payload_mb is not None:
        payload, why_payload = environment.max_payload_mb, "as the request says"
    elif bytes_per_second is None:
        payload, why_payload = DEFAULT_PAYLOAD_MB, "the platform's default"
    else:
        affordable = max(1, int(bytes_per_second * TARGET_SECONDS / MB))
        payload = min(DEFAULT_PAYLOAD_MB, affordable)
        rate = f"one process answered {bytes_per_second / MB:.2f} MB/s in its warm-up"
        why_payload = (
            f"larger requests would take more than {TARGET_SECONDS} s; {rate}"
            if payload < DEFAULT_PAYLOAD_MB
            else f"the platform's default; {rate}"
        )
    # Two for each process: while one is computed, the next one is sent.
    wanted = 2 * plan.workers
    concurrent = environment.max_concurrent_transforms or max(1, min(wanted, MAX_PRODUCT_MB // max(payload, 1)))
    return ExecutionParameters(
        max_concurrent_transforms=concurrent,
        batch_strategy="MULTI_RECORD",
        max_payload_mb=payload,
        reason=f"MaxPayloadInMB={payload} ({why_payload}), MaxConcurrentTransforms={concurrent} (two for each of "
        f"{plan.workers} process(es), at most {MAX_PRODUCT_MB} MB in all)",
    )
