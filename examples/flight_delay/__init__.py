"""Will a flight arrive 15 minutes late or more? An airline's flights joined with a weather bureau's observations."""
