"""The archive: executions that have ended, out of Redis, still read and searched like any other.

SQLite with FTS5 for one host, PostgreSQL for more. ``database`` is the only module that speaks SQL, ``mover`` brings
executions here, ``shelf`` reads, restores and removes them. Called by the service and by the decider role.
"""
