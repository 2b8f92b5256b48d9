"""Runs task code: claims ready tasks, keeps their leases alive, hands in the outcomes.

Never decides what a workflow does next; that is the decider's. Started by ``orchestrator worker`` and imported by
programs that embed a worker of their own: ``from orchestrator_workers import Worker``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator_workers.main import run_worker
    from orchestrator_workers.middleware import Middleware
    from orchestrator_workers.remote import RemoteWorker
    from orchestrator_workers.worker import Worker

__all__ = ["Middleware", "RemoteWorker", "Worker", "run_worker"]

_ROOMS = {"Middleware": "middleware", "RemoteWorker": "remote", "Worker": "worker", "run_worker": "main"}


def __getattr__(name: str) -> Any:
    # On demand, because the children of a process pool import this package and need neither.
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
