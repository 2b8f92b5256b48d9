"""The example on testing."""
