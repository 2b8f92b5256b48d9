"""EVENT: the message of a task, published under the id of the task.

The payload is the task's output: its input and where it comes from. Published again after a crash, a queue of the
installation recognises the id; a stream or topic of somebody else's gets the message with the same id once more.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.errors import InvalidPayload, InvalidRequest, OrchestratorError, StoreUnavailable
from orchestrator.ids import suffix_of
from orchestrator.model.records import Outcome
from orchestrator.model.sinks import KAFKA, SinkInvalid, event_of
from orchestrator.service import events
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext
from orchestrator.systemtasks.kafka_events import KafkaUnset, send

AGAIN_MS = 5_000
"""A full queue is tried again after so long: its handlers set the pace."""


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Publish; the task is then done, or open until somebody completes it (asyncComplete)."""
    task, sink = context.task, input.get("sink")
    written = sink if isinstance(sink, str) else msgspec.json.encode(sink).decode()
    ref = task.ref.removesuffix(f"__{task.iteration}") if task.iteration else task.ref
    try:
        event = event_of(written, task.workflow_name, ref, task.task_id)
    except SinkInvalid as error:
        return endings.failed(str(error))
    meta = await context.meta()
    if meta is None:
        return endings.terminal(f"the workflow of task {suffix_of(task.task_id)} is gone")
    output = {
        **input,
        "workflowInstanceId": task.workflow_id,
        "workflowType": meta.name,
        "workflowVersion": meta.version,
        "correlationId": meta.correlation_id,
        "taskToDomain": meta.task_to_domain,
        "event_produced": event,
    }
    try:
        if event.startswith(f"{KAFKA}:"):
            await send(context.shared, event, task.task_id, output)
        else:
            await context.run(events.publish(context.shared.store, event, output, message_id=task.task_id))
    except StoreUnavailable:
        return endings.again(AGAIN_MS, {})
    except (InvalidRequest, InvalidPayload, KafkaUnset) as error:
        return endings.terminal(str(error), output)
    except OrchestratorError as error:
        return endings.failed(str(error), output)
    return endings.parked(output) if input.get("asyncComplete") is True else endings.completed(output)
