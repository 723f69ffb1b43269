"""The processes of a training job: how they start, how they are asked to end, and how they report their end."""
