"""The HTTP server: its processes, connections, sizes, start and end."""
