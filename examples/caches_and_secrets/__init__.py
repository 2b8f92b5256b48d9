"""The example on reused outputs and secrets."""
