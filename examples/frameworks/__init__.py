"""Lightning, Accelerate and Transformers in a `fit` of one's own, on every host."""
