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
from orchestrator_cli.logs import configure
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
    """Be a decider or a worker; each life's first line says which."""
    configure("INFO")
    logging.getLogger(__name__).info("life_began", extra={"life": name})
    if role == "decider":
        run_decider(load_settings(), name)
    else:
        asyncio.run(work(name))


if __name__ == "__main__":
    main(*sys.argv[1:])
