"""What the room holds: its records, their states and names, and its settings."""
