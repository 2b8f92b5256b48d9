"""The way into an installation from Python: clients, handles and the default client.

``blocking`` and ``asynchronous`` are the two faces with their ``handles``, ``calls`` what both ask for, ``sessions`` how
they reach the store.
``task.enqueue`` goes through the default client, which is made at its first use. Importing this loads the Redis client.
"""

from __future__ import annotations

from orchestrator.client.async_handles import AsyncTaskHandle, AsyncWorkflowHandle
from orchestrator.client.asynchronous import AsyncClient
from orchestrator.client.blocking import Client
from orchestrator.client.handles import TaskHandle, WorkflowHandle
from orchestrator.client.options import Options
from orchestrator.client.sessions import client_settings
from orchestrator.client.transactions import QueuedStart

__all__ = [
    "AsyncClient",
    "AsyncTaskHandle",
    "AsyncWorkflowHandle",
    "Client",
    "Options",
    "QueuedStart",
    "TaskHandle",
    "WorkflowHandle",
    "client_settings",
    "default_client",
    "set_default_client",
]

# Without a lock, which a child would find locked for ever if another thread held it during a fork.
_chosen: dict[str, Client] = {}


def default_client() -> Client:
    """The client of ``greet.enqueue(...)``: the one that was set, else ``Client()``, made once per process.

    Example: ``default_client().list_workflows(status="RUNNING")``
    """
    chosen = _chosen.get("default")
    return chosen if chosen is not None else _chosen.setdefault("default", Client())


def set_default_client(client: Client | None) -> Client | None:
    """Choose the default client, ``None`` to forget it; gives the one before, which stays open.

    Example: ``set_default_client(Client("redis://db:6379/0"))``
    """
    before = _chosen.pop("default", None)
    if client is not None:
        _chosen["default"] = client
    return before
