"""One process of ours under test: ``python -m bench.role decider|worker|server URL``; a server prints its port."""

from __future__ import annotations

import logging
import socket
import sys

from orchestrator.engine.process import run_decider
from orchestrator.settings import load_settings
from orchestrator_workers.main import run_worker

CONCURRENCY = 100
BACKLOG = 2_048


def main(role: str, url: str) -> int:
    """Run the role until SIGTERM."""
    logging.basicConfig(level=logging.WARNING)
    settings = load_settings(redis_url=url)
    if role == "decider":
        run_decider(settings)
        return 0
    if role == "server":
        from orchestrator.api.process import run_server

        listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        run_server(settings, listening, on_ready=lambda: print(listening.getsockname()[1], flush=True))
        return 0
    return run_worker(settings, ["bench.tasks"], CONCURRENCY)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
