"""What the policies of an association allow."""
