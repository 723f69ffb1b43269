"""Content types to tables, and predictions back to content types."""
