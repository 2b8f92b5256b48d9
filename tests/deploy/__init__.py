"""Everything in deploy/ is checked with the tools it is written for, and run where this machine can run it."""
