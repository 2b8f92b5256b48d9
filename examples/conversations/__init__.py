"""The example on answers that wait, and operations on many."""
