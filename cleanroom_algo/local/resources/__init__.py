"""The content of a room: its records, their states and names, and its settings."""
