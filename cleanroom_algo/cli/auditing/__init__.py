"""The commands of `audit`, one module each."""
