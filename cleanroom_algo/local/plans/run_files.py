"""The names of files in the folder of a job."""

from typing import Final

LOG_FILE: Final = "log.jsonl"
"""The output of its containers: a JSON object per line."""
USAGE_FILE: Final = "usage.jsonl"
"""The use of CPU and memory by its hosts."""
MODEL_ARCHIVE: Final = "model.tar.gz"
"""The content of /opt/ml/model; also the name of a packed base model in its channel."""
CHECKPOINTS_FOLDER: Final = "checkpoints"
"""The checkpoints of a training job that did not succeed, a folder for each host."""
OUTPUT_ARCHIVE: Final = "output.tar.gz"
"""The content of /opt/ml/output/data."""
OUTPUT_SUFFIX: Final = ".out"
"""After the key of an object, the name of its predictions (SageMaker developer guide, "Batch transform")."""
OBJECTS_FOLDER: Final = "objects"
"""The objects of FastFile channels, which do not count as files on the disk of a host."""
