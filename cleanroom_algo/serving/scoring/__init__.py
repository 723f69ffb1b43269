"""One request's way from its body to the answer."""
