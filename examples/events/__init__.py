"""The example on events."""
