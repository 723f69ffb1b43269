"""The operations, one module per resource. Importing this package registers them all."""

from cleanroom_algo.local.operations import (
    algorithms,
    analysis_templates,
    collaborations,
    export_jobs,
    inference_jobs,
    input_channels,
    memberships,
    ml_configuration,
    privacy_budgets,
    schemas,
    tables,
    tags,
    trained_models,
)

__all__ = [
    "algorithms",
    "analysis_templates",
    "collaborations",
    "export_jobs",
    "inference_jobs",
    "input_channels",
    "memberships",
    "ml_configuration",
    "privacy_budgets",
    "schemas",
    "tables",
    "tags",
    "trained_models",
]
