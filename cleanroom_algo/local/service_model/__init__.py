"""The models of the API that botocore carries: shapes, operations, and what does not fit them."""
