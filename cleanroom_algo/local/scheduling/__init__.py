"""Which job runs next, and what happens with a job whose process has died."""
