"""What `show`, `metrics`, `compare` and the page show of jobs, read from the room as plain values."""
