"""Plans of jobs, as plain values."""
