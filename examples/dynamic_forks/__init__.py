"""The example on dynamic forks."""
