"""Training: the trainer, its ranks, the base model, checkpoints, artifacts and metrics."""
