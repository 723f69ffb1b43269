"""Engines that run a query after its rules were checked."""
