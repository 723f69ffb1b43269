"""From the bytes of a channel to record batches."""
