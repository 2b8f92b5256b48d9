"""The example on HTTP calls."""
