"""The example on large payloads."""
