"""What the platform promises a container, as typed immutable values read in one place.

Import from the modules:

- given by the platform: `environment`, `paths`, `channel`, `resources`, `script_names`, `sizes`, `processes`
- chosen by the author: `algorithm`, `hyperparameters`, `settings`
- written by the container: `manifest`, `failure` with `redaction`, `known` and `tracebacks`
- read from other parties: `archive`, `tree`
"""
