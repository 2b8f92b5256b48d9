"""The example on switching."""
