"""What the platform promises a container, as typed immutable values read in one place."""
