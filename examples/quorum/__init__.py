"""The example on joins that end early."""
