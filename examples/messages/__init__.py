"""The example on messages to running workflows."""
