"""From record batches to the tensors of one rank."""
