"""Which job runs next, and what becomes of one whose process has died."""
