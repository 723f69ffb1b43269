"""What training leaves behind and what it starts from: artifacts under their cap, and base models."""
