"""Isolates a container, and makes sure that it leaves nothing behind."""
