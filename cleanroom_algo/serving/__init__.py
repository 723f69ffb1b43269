"""Inference: the predictor, content types, the application and its server."""
