"""The pure heart: what a workflow becomes when something happens to it. No clock, no randomness, no I/O, no logging."""
