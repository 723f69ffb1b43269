"""Differences that a container can notice."""

from __future__ import annotations

from cleanroom_algo.local.differences.difference import INFER, TRAIN, Difference

CONTAINER: tuple[Difference, ...] = (
    Difference(
        "container",
        TRAIN + INFER,
        "Process hosts have their own root folder and their own temporary files (SAGEMAKER_BASE_DIR, TMPDIR). "
        "Sandboxes have /opt/ml.",
        "The folders of the container are at /opt/ml.",
        "documented",
        "SageMaker developer guide, How Amazon SageMaker runs your training image",
    ),
    Difference(
        "container",
        TRAIN,
        "The ranks of process hosts connect at CLEANROOM_ALGO_RENDEZVOUS, a free port of the loopback interface. Host "
        "names such as algo-1 do not resolve on process hosts, but they do in sandboxes.",
        "Hosts reach each other by the names in resourceconfig.json.",
        "documented",
        "SageMaker developer guide, Distributed training configuration",
    ),
    Difference(
        "container",
        TRAIN,
        "In Pipe mode, a FullyReplicated channel sends the objects to all hosts in the same order. The ranks use this "
        "order to divide the objects.",
        "AWS does not document whether the order is the same on every host.",
        "guessed",
        "The objects of a channel are listed in the order of their keys",
    ),
    Difference(
        "container",
        TRAIN,
        "OMP_NUM_THREADS divides the cores of this machine among the hosts of a job, and GOMP_SPINCOUNT is 1000.",
        "Each host has its own cores, and SageMaker does not set these variables.",
        "documented",
        "SageMaker developer guide, Environment variables",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "Sandboxes and images can reach only the hosts of their own job. Process hosts have no isolation.",
        "AWS does not document whether containers of Clean Rooms ML can reach a network.",
        "guessed",
        "The containers see data of other parties, and SageMaker can isolate containers",
        "network",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "If the processes of a host need more memory than the instance type has, the whole host is ended with exit "
        "status 137.",
        "The kernel ends one process, often the largest.",
        "documented",
        "Linux; the local clean room may notice it half a second late",
    ),
    Difference(
        "container",
        TRAIN,
        "If a host writes more than volumeSizeInGB below /opt/ml or as temporary files, it is ended with exit status "
        "137.",
        'The write fails with the error "no space left on device".',
        "documented",
        "SageMaker API, ResourceConfig; the local clean room may notice it half a second late, and does not count "
        "files in other folders of a docker host",
    ),
    Difference(
        "container",
        TRAIN,
        "Sandboxes and docker hosts cannot write to /opt/ml/input.",
        "In FastFile mode, a container cannot write there. AWS does not document whether it can in File mode.",
        "guessed",
        "An algorithm that changes its input works in one input mode only",
    ),
    Difference(
        "artifacts",
        TRAIN,
        "In /opt/ml/model and /opt/ml/output/data, a link to something in the same folder is packed as its target. "
        "Any other link fails the job, and so does a link in place of one of the two folders. Empty folders and "
        "permissions are kept, except setuid, setgid and the sticky bit. Pipes, sockets and devices are left out, and "
        "the log names them.",
        "AWS does not document how the service packs links, permissions and special files.",
        "guessed",
        "Nothing may lead out of the container, and nothing may be missing without a message",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "Jobs in your own account (host_kind sagemaker) send requests that fit botocore's model. No such request has "
        "been sent to AWS.",
        "Clean Rooms ML runs such jobs in the account of the service.",
        "guessed",
        "SageMaker API, CreateTrainingJob and CreateTransformJob; tested with moto",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "A container sees the files that its image has below /opt/ml, such as /opt/ml/code, and the files that the "
        "platform puts there.",
        "/opt/ml is reserved, and the files of an image may be invisible there. The code in the sample Dockerfile is "
        "there.",
        "guessed",
        "SageMaker developer guide, How Amazon SageMaker runs your training image; Clean Rooms user guide, Model "
        "authoring guidelines for the training container",
        "image_opt_ml",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "A docker host has the memory of the instance type, or the memory of this machine if that is less.",
        "Each instance has its own memory.",
        "documented",
        "SageMaker API, ResourceConfig",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "All hosts share the GPUs of this machine. Docker hosts use NVIDIA GPUs, if the instance type has GPUs. On a "
        "machine without a GPU, jobs run on the CPU, and a warning is logged.",
        "Each instance has the GPUs of its type.",
        "documented",
        "SageMaker API, ResourceConfig",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "In a sandbox, the program is process 1, as in an image without an entrypoint. SIGTERM ends it only if it "
        "handles the signal. A signal that arrives before the program handles it is delivered later.",
        "The program is process 1 too, but a signal that arrives too early is lost.",
        "documented",
        "SageMaker developer guide, How Amazon SageMaker runs your training image; pid_namespaces(7)",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "A sandbox contains the programs and libraries of this system, and this Python with its packages. All of them "
        "are read-only.",
        "A container contains those of its image, and can write to its own layer.",
        "documented",
        "SageMaker developer guide, Use your own training algorithms",
    ),
    Difference(
        "container",
        TRAIN,
        "The container receives the maximum size of artifacts in the environment variable "
        "CLEANROOM_ALGO_MAX_ARTIFACT_GB, unless the request sets this variable.",
        "The container receives the maximum size only if the request sets such a variable.",
        "documented",
        "SageMaker developer guide, Environment variables",
    ),
    Difference(
        "container",
        TRAIN,
        "SM_* variables are not set. In script mode, the sagemaker-training toolkit sets them.",
        "The guide names SM_MODEL_DIR, SM_OUTPUT_DIR, SM_CHANNEL_TRAIN and FILE_FORMAT, always with a fallback value.",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the training container; SageMaker sets none of them",
        "sm_variables",
    ),
    Difference(
        "container",
        TRAIN,
        "resourceconfig.json has the keys, their order and the compact format that listings of real jobs show.",
        "The guide documents three of its keys.",
        "documented",
        "SageMaker developer guide, Distributed training configuration; published listings of real jobs",
    ),
    Difference(
        "container",
        TRAIN,
        "In File mode, <channel>-manifest contains a list of keys.",
        "The file exists. AWS does not document what it contains.",
        "guessed",
        "Published listings of real jobs",
    ),
    Difference(
        "container",
        TRAIN,
        "TRAINING_JOB_NAME is the name of the trained model. TRAINING_JOB_ARN is its ARN, followed by the version if "
        "there is one.",
        "SageMaker sets the name and the ARN of its training job, and these names have a form of their own. AWS does "
        "not document how Clean Rooms names the training job.",
        "guessed",
        "SageMaker API, CreateTrainingJob",
    ),
    Difference(
        "container",
        TRAIN + INFER,
        "Process hosts of jobs that run at the same time share the ports and files of this machine. Servers get a "
        "free port. Programs that choose their own port can conflict.",
        "Each host is a separate machine.",
        "documented",
        "SageMaker developer guide, How Amazon SageMaker runs your training image",
    ),
)
