"""The example on operations."""
