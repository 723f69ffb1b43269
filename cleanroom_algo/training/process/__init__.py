"""The processes of a training job: how they start, are told to end, and say how they ended."""
