"""The example on definitions taken over from Conductor."""
