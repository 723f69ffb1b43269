"""Will a flight arrive 15 minutes late or more? XGBoost in the place of torch, on every host."""
