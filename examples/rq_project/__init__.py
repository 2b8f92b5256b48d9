"""The example on RQ."""
