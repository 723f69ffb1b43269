"""Jobs: a plan first, then its run."""
