"""The example on loops."""
