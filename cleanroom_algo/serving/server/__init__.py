"""The HTTP server: processes, connections, sizes, start and end."""
