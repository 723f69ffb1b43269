"""The hosts on which containers run."""
