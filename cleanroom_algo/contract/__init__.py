"""What the platform promises a container, as typed immutable values read in one place.

Import from the modules: `paths`, `channel`, `resources`, `environment`, `settings`, `hyperparameters`, `failure`,
`manifest`, `algorithm`, `script_names`, `sizes`.
"""
