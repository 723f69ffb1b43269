"""The parts of a job that an association shows to members: its logs, redacted, and its metrics."""
