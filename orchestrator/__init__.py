"""Durable workflows on the Redis you already run: what application code imports.

Importing this package loads neither a Redis client nor a server library, so it is cheap in every process that only
defines tasks and workflows. It never connects to anything by itself. Every name is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client import (
        AsyncClient,
        AsyncTaskHandle,
        AsyncWorkflowHandle,
        Client,
        TaskHandle,
        WorkflowHandle,
        default_client,
        set_default_client,
    )
    from orchestrator.context import TaskContext, in_progress
    from orchestrator.errors import (
        Conflict,
        DefinitionInvalid,
        OrchestratorError,
        Retry,
        TerminalError,
        WaitTimeout,
        WorkflowFailed,
        WorkflowNotFound,
        WorkflowTerminated,
        WorkflowTimedOut,
    )
    from orchestrator.model.definitions import RateLimitConfig
    from orchestrator.step_options import Cache, Script
    from orchestrator.task import RateLimit, RetryPolicy, task
    from orchestrator.workflow import Branch, Workflow

__version__ = "0.1.0"

_ROOMS = {
    # tasks: write them, and what they may ask and say while they run
    "RateLimit": "task",
    "Retry": "errors",
    "RetryPolicy": "task",
    "TaskContext": "context",
    "TerminalError": "errors",
    "in_progress": "context",
    "task": "task",
    # workflows
    "Branch": "workflow",
    "Cache": "step_options",
    "RateLimitConfig": "model.definitions",
    "Script": "step_options",
    "Workflow": "workflow",
    # clients
    "AsyncClient": "client",
    "AsyncTaskHandle": "client",
    "AsyncWorkflowHandle": "client",
    "Client": "client",
    "TaskHandle": "client",
    "WorkflowHandle": "client",
    "default_client": "client",
    "set_default_client": "client",
    # what may go wrong
    "Conflict": "errors",
    "DefinitionInvalid": "errors",
    "OrchestratorError": "errors",
    "WaitTimeout": "errors",
    "WorkflowFailed": "errors",
    "WorkflowNotFound": "errors",
    "WorkflowTerminated": "errors",
    "WorkflowTimedOut": "errors",
}

__all__ = [
    "AsyncClient",
    "AsyncTaskHandle",
    "AsyncWorkflowHandle",
    "Branch",
    "Cache",
    "Client",
    "Conflict",
    "DefinitionInvalid",
    "OrchestratorError",
    "RateLimit",
    "RateLimitConfig",
    "Retry",
    "RetryPolicy",
    "Script",
    "TaskContext",
    "TaskHandle",
    "TerminalError",
    "WaitTimeout",
    "Workflow",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowNotFound",
    "WorkflowTerminated",
    "WorkflowTimedOut",
    "__version__",
    "default_client",
    "in_progress",
    "set_default_client",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_ROOMS]


class _Package(ModuleType):
    """This package, with ``task`` always the decorator.

    Python sets a package's attribute to each submodule that is loaded. Without this, ``from orchestrator import task``
    would give the module of that name to whoever comes after its first import.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "task" and isinstance(value, ModuleType):
            value = value.task
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
