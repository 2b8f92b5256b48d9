"""Ids of the running task on every log line that is written while it runs, also by libraries that know nothing of tasks.

A worker configures no logging; whoever does adds this filter to a handler, as the command line does.
"""

from __future__ import annotations

import logging

from orchestrator.context import log_fields


class TaskIds(logging.Filter):
    """Gives records the fields ``worker_id workflow_id task_id task_type attempt delivery``; those that have them keep theirs.

    Example: ``handler.addFilter(TaskIds())``
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        for name, value in log_fields().items():
            record.__dict__.setdefault(name, value)
        return True
