"""Which optional package a definition needs, found out when it is registered and not in the middle of an execution.

One literal table by task type, and the steps whose script is JavaScript. Looks whether the package is there and loads
none. Called where definitions are judged and where system tasks are served.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from orchestrator.errors import MissingExtra
from orchestrator.model.definitions import WorkflowDef, walk
from orchestrator.model.scripts import scripts_of
from orchestrator.model.sinks import listeners_of

PACKAGES: dict[str, tuple[str, str]] = {
    "HTTP": ("httpx2", "http"),
    "HTTP_POLL": ("httpx2", "http"),
    "JSON_JQ_TRANSFORM": ("jq", "jq"),
    "KAFKA_PUBLISH": ("aiokafka", "kafka"),
    "RQ": ("rq", "rq"),
}
"""By task type: the module that it is done with, and the extra of ours that installs it."""

JAVASCRIPT = ("quickjs", "js")
"""The same for every step with a script in JavaScript."""


def missing_extra(task_type: str) -> MissingExtra | None:
    """Why tasks of this type cannot run here, or None. Example: ``missing_extra("WAIT") is None``"""
    return _missing(f"a task of type {task_type}", *PACKAGES.get(task_type, ("", "")))


def _missing(what: str, module: str, extra: str) -> MissingExtra | None:
    return MissingExtra(what, extra) if module and find_spec(module) is None else None


def require_javascript(what: str) -> None:
    """Make sure that ``what``, which holds a script in JavaScript, can be carried out. Raises ``MissingExtra``."""
    missing = _missing(what, *JAVASCRIPT)
    if missing is not None:
        raise missing


def require_listeners(definition: WorkflowDef) -> None:
    """Make sure that the definition's listeners can be told. Raises ``MissingExtra``."""
    for path, sink in listeners_of(definition):
        kind = sink.strip().partition(":")[0]
        task_type = {"http": "HTTP", "https": "HTTP", "kafka": "KAFKA_PUBLISH"}.get(kind)
        if task_type is not None:
            missing = _missing(f"the listener at {path}", *PACKAGES[task_type])
            if missing is not None:
                raise missing


def require_extras(definitions: Iterable[WorkflowDef]) -> None:
    """Make sure that these definitions can run. Raises ``MissingExtra`` with the line that installs what lacks."""
    for definition in definitions:
        require_listeners(definition)
        for _, task in walk(definition):
            # An EVENT task for Kafka needs what a task of Kafka's own needs.
            is_for_kafka = task.type == "EVENT" and (task.sink or "").startswith("kafka:")
            missing = missing_extra("KAFKA_PUBLISH" if is_for_kafka else task.type)
            if missing is None and any(script.language == "javascript" for script in scripts_of(task)):
                require_javascript(f"JavaScript in task {task.task_reference_name}")
            if missing is not None:
                raise missing
