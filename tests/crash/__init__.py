"""Real processes, real SIGKILL: ``python -m tests.crash`` kills deciders, workers and Redis under load and counts."""
