"""What follows from a delivery: the tasks that await it end with it, and the workflows that it starts are started.

Which tasks those are is written down before the first of them ends. Whoever does it again after a crash goes by that, so
a delivery never ends a task that was made after it, and each task and start recognises a repetition. What tasks there
are to look for is asked of an index of what open tasks await: the cost follows from the number of partitions, of
different ``matches`` and of tasks that match, never from that of executions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import pack, unpack
from orchestrator.core.payload_templates import text_of
from orchestrator.core.webhooks import mark_in
from orchestrator.errors import NotFound, OrchestratorError, Unavailable
from orchestrator.ids import workflow_id_of
from orchestrator.model.event_handlers import EventExecution, ExecutionStatus
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.records import FORMAT, Outcome, encode
from orchestrator.model.webhooks import Webhook
from orchestrator.plan import Plan
from orchestrator.service import starting, webhooks
from orchestrator.service.starting import Launch
from orchestrator.store import awaiting, dispatch, event_queue
from orchestrator.store.context import StoreContext

TASKS_MAX = 10_000
"""So many tasks end by one delivery; were there more, its record says so."""

REPORTS_AT_ONCE = 100
LISTED_MAX = 100


def deliver(store: StoreContext, packed: Any, now_ms: int) -> Plan[str]:
    """Carry out one delivery from the stream; gives why it cannot be, or nothing. Raises ``Unavailable``."""
    try:
        message = unpack(packed)
        webhook_id, delivery_id, event = message["webhook"], message["delivery"], message["event"]
    except (OrchestratorError, KeyError, TypeError) as error:
        return f"the delivery cannot be read: {error}"
    try:
        webhook = yield from webhooks.get(store, webhook_id)
    except NotFound as error:
        return str(error)
    record = EventExecution(
        id=delivery_id, message_id=delivery_id, name=webhook_id, event=webhooks.log_of(webhook_id), created=now_ms
    )
    found = yield from _awaiting(store, webhook, event)
    record = replace(record, output={"tasks": found[:TASKS_MAX]})
    known: EventExecution | None = yield event_queue.begin_execution(store.keys, record)
    if known is not None:
        if known.status is not ExecutionStatus.IN_PROGRESS:
            return ""
        record = known
    tasks: list[str] = record.output["tasks"]
    yield from _complete(store, tasks, event, webhook_id)
    started, problems = yield from _start(store, webhook, delivery_id, event)
    if len(found) > TASKS_MAX:
        problems.append(f"more than {TASKS_MAX:,} tasks awaited it; the others were left waiting")
    output = {"tasks": tasks[:LISTED_MAX], "count": len(tasks), "workflows": started}
    if problems:
        output["reason"] = "; ".join(problems)[:2_000]
    done = replace(record, status=ExecutionStatus.COMPLETED, output=output)
    yield event_queue.end_execution(store.keys, done)
    return ""


def _awaiting(store: StoreContext, webhook: Webhook, event: Any) -> Plan[list[str]]:
    """The ids of the open tasks that an event is for, at most one more than may be."""
    places = [
        (number, name, version)
        for name, version in webhook.receiver_workflow_names_to_versions.items()
        for number in range(store.keys.partitions)
    ]
    if not places:
        return []
    replies = yield [awaiting.shapes(store.keys, number, name) for number, name, _ in places]
    asked = [
        awaiting.tasks(store.keys, number, name, mark_in(shape, event), TASKS_MAX + 1)
        for (number, name, version), shapes in zip(places, _sound(replies), strict=True)
        for shape in shapes
        if not version or shape.startswith(f"{version}\n")
    ]
    found = (yield asked) if asked else []
    return [task_id for tasks in _sound(found) for task_id in tasks][: TASKS_MAX + 1]


def _sound(replies: Sequence[Any]) -> Iterator[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
        yield reply


def _complete(store: StoreContext, tasks: Sequence[str], event: Any, webhook_id: str) -> Plan[None]:
    """End the tasks with the event as their output; one that has ended meanwhile stays as it is."""
    output = pack(_as_map(event), "output", store.settings.payload_bytes_max)
    outcome = encode(Outcome(FORMAT, "COMPLETED", worker_id=webhook_id, output=Raw(output)))
    by_partition: dict[int, list[dispatch.Report]] = {}
    for task_id in tasks:
        number = store.keys.partition_of(workflow_id_of(task_id))
        by_partition.setdefault(number, []).append(dispatch.Report(task_id, dispatch.OUTSIDE, True, outcome))
    for number, reports in by_partition.items():
        for at in range(0, len(reports), REPORTS_AT_ONCE):
            yield dispatch.accept(store.keys, number, "webhook", reports[at : at + REPORTS_AT_ONCE])


def _start(store: StoreContext, webhook: Webhook, delivery_id: str, event: Any) -> Plan[tuple[list[str], list[str]]]:
    """Start what the webhook starts; gives the ids, and why some could not be started."""
    started, problems = list[str](), list[str]()
    given = _as_map(event)
    key = text_of(webhook.idempotency_key, {"workflow": {"input": given}})
    for name, version in webhook.starts.items():
        seed = hashlib.sha256(f"{webhook.id}\n{delivery_id}\n{name}".encode()).hexdigest()[:24]
        request = StartWorkflowRequest(
            name=name,
            version=version or None,
            input=given,
            idempotency_key=key,
            idempotency_strategy=webhook.idempotency_strategy,
        )
        launch = Launch(request, request_id=f"webhook-{seed}", event=webhooks.log_of(str(webhook.id)))
        try:
            started.append((yield from starting.start(store, launch, wait_commit=False)).workflow_id)
        except Unavailable:
            raise
        except OrchestratorError as error:
            problems.append(f"{name} was not started: {error}")
    return started, problems


def _as_map(event: Any) -> dict[str, Any]:
    return event if isinstance(event, dict) else {"body": event}
