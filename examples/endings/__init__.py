"""The example on ways to end."""
