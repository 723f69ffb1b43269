"""What a job leaves in its folder, by name."""

from typing import Final

LOG_FILE: Final = "log.jsonl"
"""What its containers wrote: a JSON object a line."""
USAGE_FILE: Final = "usage.jsonl"
"""What its hosts took of CPU and memory."""
MODEL_ARCHIVE: Final = "model.tar.gz"
"""/opt/ml/model, and how a packed base model lies in its channel."""
OUTPUT_ARCHIVE: Final = "output.tar.gz"
"""/opt/ml/output/data."""
MOUNT_FOLDER: Final = "s3"
"""Where its objects in S3 are mounted while it runs."""
