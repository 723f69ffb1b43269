"""What a job will do, as plain values."""
