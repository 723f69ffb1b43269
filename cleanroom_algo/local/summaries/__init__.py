"""What `show`, `metrics`, `compare` and the page say of jobs, read from the room and as plain values."""
