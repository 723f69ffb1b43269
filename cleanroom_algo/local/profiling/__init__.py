"""Describes a folder of files: their format, the type of each column, and a schema that reads them."""
