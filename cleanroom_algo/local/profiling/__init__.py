"""What a folder of files holds: how they are written, the type of each column, and the schema that reads them."""
