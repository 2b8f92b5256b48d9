"""The ``orchestrator`` command: one module per noun (workflow, task, worker...).

Holds no rule of its own: every command calls what a Python caller could call. Data goes to standard output, prose to
standard error, and the exit status is that of the error class.
"""
