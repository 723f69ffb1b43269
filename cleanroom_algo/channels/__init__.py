"""Bytes of a channel to record batches."""
