"""What a trained model and the log of a job give away about the rows of their channels."""
