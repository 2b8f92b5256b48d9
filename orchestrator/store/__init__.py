"""Floor 3: the only rooms that know Redis. Callers above build plans from these functions and never spell a key."""
