"""Will a flight arrive 15 minutes late or more? LightGBM in the place of torch, on every host."""
