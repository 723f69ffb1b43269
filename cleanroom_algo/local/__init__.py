"""The local clean room: the service side, on one's own machine."""
