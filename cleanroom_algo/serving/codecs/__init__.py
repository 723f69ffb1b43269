"""From content types to tables, and from predictions to content types."""
