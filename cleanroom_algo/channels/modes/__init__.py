"""Input modes: how the bytes of a channel arrive."""
