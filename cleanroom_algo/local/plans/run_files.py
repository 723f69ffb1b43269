"""What a job leaves in its folder, by name."""

from typing import Final

LOG_FILE: Final = "log.jsonl"
"""What its containers wrote: a JSON object a line."""
USAGE_FILE: Final = "usage.jsonl"
"""What its hosts took of CPU and memory."""
MODEL_ARCHIVE: Final = "model.tar.gz"
"""/opt/ml/model, and how a packed base model lies in its channel."""
CHECKPOINTS_FOLDER: Final = "checkpoints"
"""The checkpoints of a training job that did not end well, a folder for each host."""
OUTPUT_ARCHIVE: Final = "output.tar.gz"
"""/opt/ml/output/data."""
OUTPUT_SUFFIX: Final = ".out"
"""Behind the key of an object, the name of its predictions (SageMaker developer guide, "Batch transform")."""
OBJECTS_FOLDER: Final = "objects"
"""The objects of FastFile channels, outside of what counts as the disk of a host."""
