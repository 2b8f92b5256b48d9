"""The archive of executions that have ended."""
