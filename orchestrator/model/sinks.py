"""Where an event goes: the sink of an EVENT task, of a listener or of a state change, as a queue's full name.

The rules and the texts of refusals are Conductor's; which kinds of queue there are is ours. Pure: whether the queue can
be reached is found out by whoever publishes.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.model.definitions import WorkflowDef, walk

CONDUCTOR, REDIS_STREAM, KAFKA = "conductor", "redis_stream", "kafka"
EVENT_KINDS = (CONDUCTOR, REDIS_STREAM, KAFKA)
"""Where messages may come from and go to: queues of the installation, a stream of the same Redis, a Kafka topic."""

WEBHOOKS = ("http", "https")
"""Schemes of an address that is told by POST; for listeners and state changes only."""


class SinkInvalid(ValueError):
    """The text names no queue; the message says why, in the words of Conductor."""


def listeners_of(definition: WorkflowDef) -> Iterator[tuple[str, str]]:
    """Where news of a workflow goes: each place in the definition, and what is written there.

    Example: ``dict(listeners_of(d))["workflowStatusListenerSink"] == "https://example.com/hook"``
    """
    if definition.workflow_status_listener_enabled and definition.workflow_status_listener_sink:
        yield "workflowStatusListenerSink", definition.workflow_status_listener_sink
    for path, task in walk(definition):
        for state, changes in task.on_state_change.items():
            for index, change in enumerate(changes):
                yield f"{path}.onStateChange.{state}[{index}].type", change.type


def event_of(sink: str, workflow_name: str, ref: str, task_id: str) -> str:
    """The event that an EVENT task publishes. Raises ``SinkInvalid``.

    ``conductor`` is the queue of this very task, ``conductor:x`` one of the workflow, anything else is taken as it is.
    Example: ``event_of("conductor:paid", "order", "tell", task_id) == "conductor:order:paid"``
    """
    if sink == CONDUCTOR:
        return f"{CONDUCTOR}:{workflow_name}:{ref}"
    kind, colon, name = sink.partition(":")
    if kind == CONDUCTOR and name:
        return f"{CONDUCTOR}:{workflow_name}:{name}"
    if sink.startswith(CONDUCTOR):
        raise SinkInvalid(f"Invalid / Unsupported sink specified: {sink}")
    if not colon or not name:
        raise SinkInvalid(f"Illegal event {sink}")
    if kind not in EVENT_KINDS:
        raise SinkInvalid(f"Error loading queue:{sink}, for task:{task_id}, error: Unknown queue type {kind}")
    return sink


def listener_of(sink: str, workflow_name: str) -> str:
    """Where a listener's news goes: a web address or an event. Raises ``SinkInvalid``.

    A bare name is a queue of the workflow. Example: ``listener_of("audit", "order") == "conductor:order:audit"``
    """
    kind, colon, name = sink.strip().partition(":")
    if kind in WEBHOOKS and name.startswith("//") and len(name) > len("//"):
        return sink.strip()
    if not kind or (colon and not name):
        raise SinkInvalid(f"Illegal event {sink}")
    if not colon:
        return f"{CONDUCTOR}:{workflow_name}:{kind}"
    if kind == CONDUCTOR:
        return f"{CONDUCTOR}:{workflow_name}:{name}"
    if kind not in EVENT_KINDS:
        raise SinkInvalid(f"Unknown queue type {kind} in {sink}")
    return sink.strip()


def why_no_listener(sink: str, workflow_name: str) -> str | None:
    """Why a text is no place that news can go to, or None."""
    try:
        listener_of(sink, workflow_name)
    except SinkInvalid as error:
        return str(error)
    return None


def why_no_event(event: str) -> str | None:
    """Why a text names no event, or None. Example: ``why_no_event("conductor:order:paid") is None``"""
    kind, colon, name = event.partition(":")
    if not colon or not name.strip():
        return f"Illegal event {event}"
    if kind not in EVENT_KINDS:
        return f"Unknown queue type {kind}; there are {', '.join(EVENT_KINDS)}"
    if len(event) > 500 or not event.isprintable():
        return "an event is at most 500 printable characters"
    return None
