"""The example on waiting, signals and people."""
