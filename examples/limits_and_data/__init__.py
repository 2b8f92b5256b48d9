"""The example on limits and data."""
