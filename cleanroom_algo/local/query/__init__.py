"""SQL of members: which tables a query sees, what it may do with them, and the engines that run it."""
