"""Inference jobs, as SageMaker's batch transform runs them for Clean Rooms ML."""
