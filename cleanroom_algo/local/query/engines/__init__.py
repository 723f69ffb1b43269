"""Engines that run a query once it keeps to the rules."""
