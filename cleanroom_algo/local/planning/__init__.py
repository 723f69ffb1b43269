"""From the records of a job to its plan."""
