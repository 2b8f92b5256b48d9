"""Logging of the command line's processes: one line an event on standard error, ``key=value`` or JSON.

``ORCHESTRATOR_LOG_FORMAT=json`` chooses JSON. Events carry their fields in ``extra``; what is written while a task runs
gets its ids. This room writes them, and is the only one that configures logging. Called by the session of a command, and in the
children of a worker's pools.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from typing import Any

from orchestrator.errors import SettingsInvalid
from orchestrator_workers.logs import TaskIds

FORMATS = ("text", "json")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str) -> None:
    """Log events of ``level`` and above to standard error.

    Raises ``SettingsInvalid`` for an unknown ``ORCHESTRATOR_LOG_FORMAT``. Example: ``configure("INFO")``
    """
    form = os.environ.get("ORCHESTRATOR_LOG_FORMAT") or "text"
    if form not in FORMATS:
        raise SettingsInvalid(f"ORCHESTRATOR_LOG_FORMAT: {form!r} is not one of {', '.join(FORMATS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if form == "json" else TextLine())
    handler.addFilter(TaskIds())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class TextLine(logging.Formatter):
    """``2026-01-31T12:00:00.000+00:00 INFO task_claimed task_id=... delivery=2``"""

    def format(self, record: logging.LogRecord) -> str:
        """One event as ``key=value`` pairs, and the traceback below when there is one."""
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        line = f"{_at(record)} {record.levelname} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLine(logging.Formatter):
    """One JSON object a line, for machines that read logs."""

    def format(self, record: logging.LogRecord) -> str:
        """One event as JSON; the traceback is a field."""
        line = {"at": _at(record), "level": record.levelname, "event": record.getMessage(), "logger": record.name}
        line |= _fields(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _at(record: logging.LogRecord) -> str:
    return datetime.datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _quoted(value: Any) -> str:
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return json.dumps(written, ensure_ascii=False) if any(c in written for c in ' \n\t="') else written
