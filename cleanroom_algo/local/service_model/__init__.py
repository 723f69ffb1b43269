"""The models of the API in botocore: shapes, operations, and validation."""
