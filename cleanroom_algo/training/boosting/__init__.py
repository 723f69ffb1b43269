"""Boosted trees on every host, by XGBoost and LightGBM: what their Trainers share, and one module for each."""
