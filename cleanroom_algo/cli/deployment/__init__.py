"""The commands of `deploy`, one file each."""
