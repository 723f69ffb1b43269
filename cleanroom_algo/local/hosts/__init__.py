"""Where a container runs."""
