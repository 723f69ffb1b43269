"""Formats of objects: each one a reader behind the protocol `FormatReader`."""
