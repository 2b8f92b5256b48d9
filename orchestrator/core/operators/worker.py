"""SIMPLE, user-defined and system tasks: the work is offered to the queue of the task's type, where workers claim it.

A SIMPLE task's queue is its name; any other type is its own queue (Conductor: SimpleTaskMapper, UserDefinedTaskMapper,
HTTPTaskMapper). A system task learns from its input whether somebody outside is to complete it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance, caching, domains, sharing
from orchestrator.core.expressions import compile_template
from orchestrator.core.kinds import QUEUED, SYSTEM_TASK_TYPES
from orchestrator.core.schemas import violation
from orchestrator.core.timeouts import first_timer_ms
from orchestrator.errors import InvalidPayload
from orchestrator.model.effects import Enqueue

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.definitions import TaskDef

ASYNC_COMPLETE = "asyncComplete"

STORING_TYPES = frozenset({"EVENT", "START_WORKFLOW"})
"""What these are given is stored elsewhere, so references to secrets stay references in it."""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task and offer it to its queue, a retry after its delay."""
    task = node.task
    value = task_input(d, node, iteration, d.task_def(node), previous)
    if task.type in SYSTEM_TASK_TYPES and (task.async_complete or ASYNC_COMPLETE in value):
        value = {**value, ASYNC_COMPLETE: task.async_complete}
    offer(d, node, iteration, previous, value)


def offer(d: Draft, node: Node, iteration: int, previous: TaskRecord | None, value: Any) -> None:
    """Make the task with this input and offer it to its queue."""
    task = node.task
    task_def = d.task_def(node)
    queue = task.name if task.type == "SIMPLE" else task.type
    wait_ms = task.start_delay * 1000
    if previous is not None and previous.result is not None:
        wait_ms = previous.result.callback_after_ms
    domain = domains.choose(d, queue) if task.type not in SYSTEM_TASK_TYPES else None
    try:
        packed = d.pack_payload(value, "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, queue, f"The task's input cannot be stored: {error}")
        return
    key = caching.key_of(d, node, value)
    keys = sharing.keys_of(d, queue, value)
    record = d.create(
        node,
        iteration,
        type_=queue,
        name=task.name,
        input_=packed,
        status="SCHEDULED",
        previous=previous,
        delay_ms=wait_ms,
        domain=domain,
        secrets=[] if task.type in STORING_TYPES else d.secrets_in(packed, task_def),
        runtime=task_def.runtime_metadata,
        cache_key=key,
        keys=keys,
    )
    if task_def.input_schema is not None and task_def.enforce_schema:
        fault = violation(task_def.input_schema, value, "input")
        if fault is not None:
            reason = f"The task's input does not comply with its schema: {fault}"
            advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
            return
    held = caching.held(d, key)
    if held is not None:
        advance.finish(d, record, "COMPLETED", output=held, worker_id=caching.HIT)
        return
    d.dispatch(record, QUEUED, task_def, first_timer_ms(record.scheduled, task_def))
    d.handoffs.append(Enqueue(queue, d.task_id(record), d.state.meta.priority, wait_ms, domain, keys))


def task_input(d: Draft, node: Node, iteration: int, task_def: TaskDef, previous: TaskRecord | None) -> Any:
    """The input of a new attempt: parameters rendered now, over the old attempt's input and the definition's template.

    The template's keys that the parameters lack are rendered with them; a top-level key whose value comes out null
    falls back to the template's value as it is written (Conductor: ParametersUtils).
    """
    value = d.render_input(node, iteration, previous)
    defaults = task_def.input_template
    if defaults:
        lacking = compile_template({name: item for name, item in defaults.items() if name not in value})
        value = {**d.render(lacking, d.program.reads_of(lacking)), **value}
        value = {name: defaults.get(name) if item is None else item for name, item in value.items()}
    if previous is not None and isinstance(previous.input, dict):
        value = {**previous.input, **value}
    return value
