"""The example on webhooks."""
