"""Training of torch models: the loop, its steps, and ranks that train together."""
