"""SQL of members: the tables that a query can see, the rules for them, and the engines that run it."""
