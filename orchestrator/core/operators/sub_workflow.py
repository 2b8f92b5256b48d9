"""SUB_WORKFLOW: another workflow runs as this task; the task is in progress until that child ends.

The child's id follows from the task's, so an attempt has one child however often its start is delivered, and a retry
has a new one. It is started through the outbox, in a partition of its own; its end comes back as a report on the task.
A start delay, or the delay of a retry, is waited for first. What the child is started with stands in the task's input.

Ours on purpose: the parent's priority is inherited, and a step without inputs starts its child with none (Conductor's
SubWorkflow hands it the task's own input).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import pack
from orchestrator.core import advance
from orchestrator.core.deadlines import judge
from orchestrator.core.kinds import WAITING
from orchestrator.errors import InvalidPayload
from orchestrator.ids import child_workflow_id, partition_of_key
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.effects import StartWorkflow
from orchestrator.model.events import TimerFired
from orchestrator.model.execution import PRIORITY_MAX, PRIORITY_MIN
from orchestrator.model.records import FORMAT, Meta, Result
from orchestrator.model.wire import workflow_def_to_dict

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.definitions import TaskDef

DEPTH_MAX = 50
"""So many workflows may stand above one: a workflow that starts itself comes to an end."""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task and start its child, now or after the delay."""
    try:
        packed = d.pack_payload(_task_input(d, node, iteration, previous), "input")
    except (InvalidPayload, ValueError) as error:
        advance.refuse(d, node, iteration, previous, "SUB_WORKFLOW", str(error))
        return
    wait_ms = node.task.start_delay * 1000
    if previous is not None and previous.result is not None:
        wait_ms = previous.result.callback_after_ms
    record = d.create(
        node,
        iteration,
        type_="SUB_WORKFLOW",
        name=node.task.name,
        input_=packed,
        status="SCHEDULED",
        previous=previous,
        delay_ms=wait_ms,
        deadline_ms=d.now + wait_ms if wait_ms else 0,
    )
    task_def = d.task_def(node)
    d.dispatch(record, WAITING, task_def, record.scheduled.deadline_ms or _timeout_ms(record, task_def, d.now))
    if not wait_ms:
        _launch(d, record)


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """Its timer fired: the delay is over, or a time-out may be due."""
    result = record.result
    if result is None or result.child_workflow_id is None:
        due_ms = record.scheduled.deadline_ms
        if d.now < due_ms:
            d.timers[record.suffix, record.scheduled.ref] = due_ms
            return
        result = _launch(d, record)
    current = d.record(record.scheduled.ref)
    assert current is not None
    judge(d, current, TimerFired(d.now, record.scheduled.ref, d.task_id(record), WAITING, result.started_ms))


def go_on(d: Draft, record: TaskRecord, run: int) -> None:
    """The child goes on, in its ``run``-th run after the first: the task is in progress again."""
    result = record.result
    assert result is not None
    is_over = not record.is_open
    d.core.open += is_over
    child_id = result.child_workflow_id
    again = replace(
        result,
        status="IN_PROGRESS",
        ended_ms=0,
        started_ms=d.now if is_over else result.started_ms,
        reason=None,
        callback_after_ms=0,
        child_run=run,
        output=Raw(pack({"subWorkflowId": child_id})) if is_over else result.output,
    )
    current = d.set_result(record, again)
    if is_over:
        listen_again(d, current)


def adopt(record: TaskRecord, child_id: str, run: int) -> Result:
    """How the task stands with this child: another than its own when that was there already under the idempotency key."""
    result = record.result
    assert result is not None
    output = result.output
    if child_id != result.child_workflow_id:
        output = Raw(pack({**record.output, "subWorkflowId": child_id}))
    return replace(result, child_workflow_id=child_id, child_run=run, output=output)


def listen_again(d: Draft, record: TaskRecord) -> None:
    """Take a word on the task again, after one that was taken for the last."""
    task_def = d.task_def(d.node_of(record.scheduled))
    d.closed.pop(record.suffix, None)
    d.timers.pop((record.suffix, record.scheduled.ref), None)
    d.dispatch(record, WAITING, task_def, _timeout_ms(record, task_def, d.now))


def _timeout_ms(record: TaskRecord, task_def: TaskDef, now_ms: int) -> int:
    """When the first time-out of a child that starts now is due; 0 = it has none."""
    due = []
    if task_def.timeout_seconds > 0:
        due.append(now_ms + task_def.timeout_seconds * 1000)
    if task_def.total_timeout_seconds > 0:
        due.append(record.scheduled.first_scheduled_ms + task_def.total_timeout_seconds * 1000)
    return min(due, default=0)


def _task_input(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> dict[str, Any]:
    """What the child is to be started with, as Conductor shows it. Raises ``ValueError`` for what cannot be started."""
    if d.state.meta.depth >= DEPTH_MAX:
        raise ValueError(
            f"sub-workflows may nest {DEPTH_MAX} deep, and {d.state.meta.name} {d.workflow_id} stands at that depth: "
            "does a workflow start itself?"
        )
    params = node.task.sub_workflow_param
    if params is None:
        raise ValueError(f"Task {node.task.name} is defined as sub-workflow and is missing subWorkflowParams")
    said = d.render(node.extra, node.extra_reads)
    definition: Any = said.get("workflowDefinition")
    if isinstance(params.workflow_definition, WorkflowDef):
        definition = workflow_def_to_dict(params.workflow_definition)
    if definition is not None and not isinstance(definition, dict):
        raise ValueError(f"workflowDefinition must be a workflow definition, not {type(definition).__name__}")
    name = definition.get("name") if definition is not None else said.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of the sub-workflow to start must be a text, not {name!r}")
    domains = said.get("taskToDomain")
    return {
        "subWorkflowName": name,
        "subWorkflowVersion": None if definition is not None else _version(d, params.name, said.get("version")),
        "subWorkflowDefinition": definition,
        "subWorkflowTaskToDomain": _domains(domains) if domains is not None else d.state.meta.task_to_domain,
        "priority": _priority(said.get("priority"), d.state.meta.priority),
        "idempotencyKey": _key(said.get("idempotencyKey")),
        "idempotencyStrategy": params.idempotency_strategy,
        "workflowInput": d.render_input(node, iteration, previous),
    }


def _version(d: Draft, name: str, said: Any) -> int | None:
    """The version to start: as given, else the one that was the latest when this workflow started.

    None, the latest when the child starts, for a name that is an expression or that nobody had registered then.
    """
    if said is None or said == "":
        return d.state.meta.child_versions.get(name)
    if isinstance(said, bool) or not isinstance(said, int | str) or not str(said).isdecimal():
        raise ValueError(f"the version of sub-workflow {name} must be a whole number, not {said!r}")
    return int(said)


def _priority(said: Any, inherited: int) -> int:
    if isinstance(said, str) and said.isdecimal():
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float):
        return inherited
    return max(PRIORITY_MIN, min(PRIORITY_MAX, int(said)))


def _key(said: Any) -> str | None:
    if said is None or said == "":
        return None
    if isinstance(said, bool) or not isinstance(said, int | str):
        raise ValueError(f"the idempotency key of a sub-workflow must be a text, not {said!r}")
    return str(said)


def _domains(said: Any) -> dict[str, str]:
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise ValueError(f"taskToDomain must map task types to domains, not {said!r}")
    return said


def _launch(d: Draft, record: TaskRecord) -> Result:
    """Hand off the start of the child; the task is in progress from now on."""
    own_id, made, meta = d.task_id(record), record.scheduled, d.state.meta
    given = record.input
    name, key = given["subWorkflowName"], given["idempotencyKey"]
    partition = partition_of_key(name, key, d.facts.partitions) if key is not None else None
    child_id = child_workflow_id(own_id, partition)
    definition = given["subWorkflowDefinition"]
    child_input = given["workflowInput"]
    if definition is not None:
        child_input = {**child_input, "_systemMetadata": {"dynamic": True}}
    packed = pack(child_input)
    d.handoffs.append(
        StartWorkflow(
            workflow_id=child_id,
            meta=Meta(
                format=FORMAT,
                name=name,
                version=given["subWorkflowVersion"] or 0,
                definition_hash="",
                priority=given["priority"],
                correlation_id=meta.correlation_id,
                idempotency_key=key,
                task_to_domain=given["subWorkflowTaskToDomain"],
                parent_workflow_id=d.workflow_id,
                parent_task_id=own_id,
                parent_ref=made.ref,
                depth=meta.depth + 1,
                secrets=d.secrets_in(packed),
                watch_ms=max(0, d.core.watched_until_ms - d.now),
                trace=meta.trace,
            ),
            input=Raw(packed),
            latest=definition is None and given["subWorkflowVersion"] is None,
            strategy=given["idempotencyStrategy"],
            definition=msgspec.json.encode(definition) if definition is not None else None,
        )
    )
    result = Result(
        format=FORMAT,
        status="IN_PROGRESS",
        ended_ms=0,
        started_ms=d.now,
        child_workflow_id=child_id,
        output=Raw(pack({"subWorkflowId": child_id})),
    )
    d.set_result(record, result)
    return result
