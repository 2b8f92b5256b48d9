"""The example on listeners."""
