"""The example on HTTP_POLL."""
