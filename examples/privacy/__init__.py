"""A model that remembers its rows, one that does not, and one that was trained privately."""
