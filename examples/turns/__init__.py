"""The example on limits per key."""
