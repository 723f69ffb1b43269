"""Formats of objects; each one is a reader that implements the protocol `FormatReader`."""
