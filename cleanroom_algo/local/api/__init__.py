"""The protocol of the Clean Rooms ML API, driven by botocore's model."""
