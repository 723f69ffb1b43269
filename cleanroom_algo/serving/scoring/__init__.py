"""The processing of one request, from its body to the answer."""
