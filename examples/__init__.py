"""Whole algorithms, small enough to read; each is a test."""
