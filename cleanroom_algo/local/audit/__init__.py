"""What a trained model and the log of a job reveal about the rows of their channels."""
