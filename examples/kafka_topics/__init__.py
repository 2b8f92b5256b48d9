"""The example on KAFKA_PUBLISH."""
