"""Building and checking images."""
