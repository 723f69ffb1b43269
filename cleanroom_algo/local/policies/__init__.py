"""What an association lets the members see of a job: its logs, redacted, and its metrics."""
