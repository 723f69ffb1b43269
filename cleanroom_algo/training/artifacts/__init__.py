"""What a training writes and what it starts from: artifacts of limited size, and base models."""
