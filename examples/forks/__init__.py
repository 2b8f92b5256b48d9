"""The example on forks and joins."""
