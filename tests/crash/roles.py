"""The processes that get killed: ``python -m tests.crash.roles decider|worker NAME``, in front of the product's own.

A decider is exactly what ``orchestrator decider`` runs. A worker is one with an observer that notes in the journal what
happens to every task. Settings come from the environment. Started by processes.py, ended by a signal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from orchestrator.engine.process import run_decider
from orchestrator.settings import load_settings
from orchestrator_workers import Worker
from tests.crash.ledger import Journal

JOURNALS = "CRASH_JOURNALS"
TASKS = "examples.orders.tasks"
CONCURRENCY = 10


async def work(name: str) -> None:
    """Run a worker that keeps a journal, until SIGTERM."""
    journal = Journal(Path(os.environ[JOURNALS]), name)

    def observe(event: str, fields: dict[str, Any]) -> None:
        journal.note(event, **fields)

    worker = Worker(load_settings(), modules=[TASKS], concurrency=CONCURRENCY, name=name, observer=observe)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.request_drain)
    await worker.run()


def main(role: str, name: str) -> None:
    """Be a decider or a worker."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(message)s %(extra)s", force=True
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(WithFields(name))
    if role == "decider":
        run_decider(load_settings(), name)
    else:
        asyncio.run(work(name))


class WithFields(logging.Formatter):
    """The message and the fields that came with it, on one line."""

    _STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def __init__(self, name: str) -> None:
        super().__init__(f"%(asctime)s {name} %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """As the standard one, with ``key=value`` of every extra field behind the message."""
        extra = {key: value for key, value in vars(record).items() if key not in self._STANDARD}
        return " ".join([super().format(record), *(f"{key}={value}" for key, value in extra.items())])


if __name__ == "__main__":
    main(*sys.argv[1:])
