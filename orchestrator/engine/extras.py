"""Which optional package a definition needs, found out when it is registered and not in the middle of an execution.

One literal table by task type. Looks whether the package is there and loads none. Called where definitions are judged
and where system tasks are served.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from orchestrator.errors import MissingExtra
from orchestrator.model.definitions import WorkflowDef, walk

PACKAGES: dict[str, tuple[str, str]] = {
    "HTTP": ("httpx2", "http"),
    "KAFKA_PUBLISH": ("aiokafka", "kafka"),
}
"""By task type: the module that it is done with, and the extra of ours that installs it."""


def missing_extra(task_type: str) -> MissingExtra | None:
    """Why tasks of this type cannot run here, or None. Example: ``missing_extra("WAIT") is None``"""
    module, extra = PACKAGES.get(task_type, ("", ""))
    if not module or find_spec(module) is not None:
        return None
    return MissingExtra(f"a task of type {task_type}", extra)


def require_extras(definitions: Iterable[WorkflowDef]) -> None:
    """Make sure that these definitions can run. Raises ``MissingExtra`` with the line that installs what lacks."""
    for definition in definitions:
        for task_type in dict.fromkeys(task.type for _, task in walk(definition)):
            missing = missing_extra(task_type)
            if missing is not None:
                raise missing
