"""What keeps a container to itself, and makes sure that nothing of it is left behind."""
