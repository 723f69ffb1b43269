"""Record batches to the tensors of one rank."""
