"""What exactly an execution is waiting for: which task, in which queue at which place, behind which limit, until when.

A look at the partition, at the queues of the open tasks and at who is alive, put into sentences. Each part is read at
its own moment, so a fast execution may have moved on between two of them. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from orchestrator.core.kinds import INTERNAL, dispatch_state
from orchestrator.engine.views import workflow_view
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.records import decode_core, decode_meta
from orchestrator.model.status import is_terminal
from orchestrator.model.wire import workflow_def_from_dict
from orchestrator.plan import Command, Plan
from orchestrator.service.workflows import get
from orchestrator.store import queue
from orchestrator.store.context import StoreContext
from orchestrator.store.dispatch import Dispatch
from orchestrator.store.partition import PartitionStats, load_definition, partition_stats
from orchestrator.store.queue_place import QueuePlace, queue_places
from orchestrator.store.queue_values import Limits, QueueStats
from orchestrator.store.timers import timer_member
from orchestrator.store.view import StoredWorkflow, read_workflow

TASKS_MAX = 20
"""So many open tasks are explained, in order of scheduling; the rest is counted."""

CHILDREN_DEPTH_MAX = 5
NAMES_MAX = 10


@dataclass(frozen=True)
class Reason:
    """One thing that is waited for. ``kind`` is for programs, ``text`` for people, ``facts`` holds its numbers."""

    kind: str
    text: str
    ref: str | None = None
    task_id: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Explanation(NamedTuple):
    """Why an execution stands where it stands; ``children`` are the sub-workflows that it waits for."""

    workflow_id: str
    name: str
    status: str
    reasons: list[Reason]
    children: list[Explanation]


class _Open(NamedTuple):
    """An open task with all that is known of where it waits."""

    task: Task
    entry: Dispatch | None
    place: QueuePlace | None
    stats: QueueStats | None
    timer_ms: int | None


def why(store: StoreContext, workflow_id: str, *, depth: int = 0) -> Plan[Explanation]:
    """Explain what an execution waits for. Raises ``WorkflowNotFound``.

    Example: ``[reason.text for reason in executor.run(why(store, workflow_id)).reasons]``
    """
    stored = yield from read_workflow(store.keys, workflow_id)
    if stored is None:
        ended = yield from get(store, workflow_id, include_tasks=False)
        return Explanation(workflow_id, ended.workflow_name, ended.status, [_end_of(ended)], [])
    workflow = yield from _view(store, stored)
    number = store.keys.partition_of(workflow_id)
    stats: PartitionStats = yield partition_stats(store.keys, number)
    reasons = list(_standing(workflow, stored, number, stats))
    children: list[Explanation] = []
    if not is_terminal(workflow.status):
        tasks = [task for task in workflow.tasks if not task.is_terminal]
        reasons += yield from _turn(store, stored, workflow)
        opened = yield from _look(store, stored, tasks[:TASKS_MAX])
        explained = [reason for one in opened for reason in _explained(one, workflow, number, stats)]
        reasons += explained
        if len(tasks) > TASKS_MAX:
            reasons.append(Reason("MORE", f"and {len(tasks) - TASKS_MAX:,} more open tasks"))
        if not reasons:
            reasons.append(Reason("DECIDER", f"the decider of partition {number} is about to go on with it"))
        for one in opened:
            if one.task.sub_workflow_id and depth < CHILDREN_DEPTH_MAX:
                children += yield from _child(store, one.task.sub_workflow_id, depth)
    return Explanation(workflow_id, workflow.workflow_name, str(workflow.status), reasons, children)


def _turn(store: StoreContext, stored: StoredWorkflow, workflow: Workflow) -> Plan[list[Reason]]:
    """Its place before the gate of its workflow's rate limit, when it waits there."""
    gate = decode_core(stored.fields["c"]).gate if "c" in stored.fields else None
    config = workflow.workflow_definition.rate_limit_config if workflow.workflow_definition is not None else None
    if gate is None or not gate.is_waiting or config is None:
        return []
    keys = store.keys
    place, waiting, inside = yield [
        Command(("ZRANK", keys.gate_waiting(gate.name), stored.workflow_id)),
        Command(("ZCARD", keys.gate_waiting(gate.name))),
        Command(("ZCARD", keys.gate_inside(gate.name))),
    ]
    if not isinstance(place, int):
        return [
            Reason("TURN", "it has asked for its turn under the rate limit of its workflow, or been let in just now")
        ]
    under = f" with the key {gate.key!r}" if gate.key else ""
    text = (
        f"it waits for its turn at place {place + 1:,} of {waiting:,}: {inside:,} executions{under} run, and the rate "
        f"limit of the workflow is {config.concurrent_exec_limit:,}"
    )
    facts = {"position": place + 1, "waiting": waiting, "running": inside, "rateLimitKey": gate.key}
    return [Reason("TURN", text, facts={**facts, "concurrentExecLimit": config.concurrent_exec_limit})]


def _child(store: StoreContext, workflow_id: str, depth: int) -> Plan[list[Explanation]]:
    known = yield Command(("EXISTS", store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)))
    return [(yield from why(store, workflow_id, depth=depth + 1))] if known else []


def _view(store: StoreContext, stored: StoredWorkflow) -> Plan[Workflow]:
    meta = decode_meta(stored.fields["m"])
    body = yield load_definition(store.keys, store.keys.partition_of(stored.workflow_id), meta.definition_hash)
    definition = workflow_def_from_dict(msgspec.json.decode(body), check=None) if body is not None else None
    return workflow_view(stored, definition)


def _look(store: StoreContext, stored: StoredWorkflow, tasks: Sequence[Task]) -> Plan[list[_Open]]:
    """Read where these tasks wait: their places, their queues, their timers."""
    keys, number = store.keys, store.keys.partition_of(stored.workflow_id)
    suffixes = [task.task_id.rsplit("-", 1)[-1] for task in tasks]
    entries = [stored.dispatch.get(suffix) for suffix in suffixes]
    queued = [task for task, entry in zip(tasks, entries, strict=True) if entry is not None and entry.state in "SRA"]
    found = yield from queue_places(keys, [(task.task_type, task.task_id, task.domain) for task in queued])
    places = {task.task_id: place for task, place in zip(queued, found, strict=True)}
    types = sorted({task.task_type for task in queued})
    looked = yield from queue.stats(store.queues, types)
    stats = {name: one for name, one in zip(types, looked, strict=True) if isinstance(one, QueueStats)}
    members = [
        timer_member(stored.workflow_id, suffix, task.reference_task_name)
        for suffix, task in zip(suffixes, tasks, strict=True)
    ]
    scores = (yield [Command(("ZSCORE", keys.timers(number), member)) for member in members]) if members else []
    return [
        _Open(task, entry, places.get(task.task_id), stats.get(task.task_type), _ms(score))
        for task, entry, score in zip(tasks, entries, scores, strict=True)
    ]


def _ms(score: Any) -> int | None:
    return int(float(score)) if isinstance(score, bytes) else None


# --- the whole execution ----------------------------------------------------------------------------------------------


def _end_of(workflow: Workflow) -> Reason:
    because = f": {workflow.reason_for_incompletion}" if workflow.reason_for_incompletion else ""
    return Reason("ENDED", f"nothing: it has ended {workflow.status} at {_moment(workflow.end_time)}{because}")


def _standing(workflow: Workflow, stored: StoredWorkflow, number: int, stats: PartitionStats) -> Iterator[Reason]:
    if is_terminal(workflow.status):
        yield _end_of(workflow)
        return
    if "q" in stored.fields:
        reason = stored.fields["q"].decode(errors="replace")
        yield Reason(
            "QUARANTINED",
            f"it was set aside ({reason}); let it go on with: orchestrator workflow unpark {workflow.workflow_id}",
        )
    if workflow.status == "PAUSED":
        text = f"it is paused; let it go on with: orchestrator workflow resume {workflow.workflow_id}"
        yield Reason("PAUSED", text)
    if not stats.owner or stats.expires_ms <= stats.now_ms:
        text = f"no live decider holds its partition {number}; start one with: orchestrator decider"
        yield Reason("NO_DECIDER", text, facts={"partition": number, "events": stats.inbox})
    elif "c" not in stored.fields:
        text = f"its start is event {stats.inbox:,} at most of those that the decider {stats.owner} has before it"
        yield Reason("START", text, facts={"partition": number, "events": stats.inbox})


# --- one task ---------------------------------------------------------------------------------------------------------


def _explained(one: _Open, workflow: Workflow, number: int, stats: PartitionStats) -> Iterator[Reason]:
    task, entry = one.task, one.entry
    state = entry.state if entry is not None else INTERNAL
    if state == "A":
        text = (
            f"{_called(task)} has ended; its outcome is one of {stats.inbox:,} events before the decider {stats.owner}"
        )
        yield _reason("ACCEPTED", task, text, events=stats.inbox)
    elif state == "W":
        yield _outside(one, stats.now_ms)
    elif state == "R" and entry is not None:
        yield _running(one, entry, stats.now_ms)
    elif state == "S":
        yield _queued(one, number)
    elif task.task_type in ("JOIN", "EXCLUSIVE_JOIN"):
        yield _joining(task, workflow)


def _running(one: _Open, entry: Dispatch, now_ms: int) -> Reason:
    text = (
        f"{_called(one.task)} runs on worker {entry.claimant} since {_span(now_ms - entry.started_ms)} "
        f"(delivery {entry.delivery})"
    )
    facts: dict[str, Any] = {"worker": entry.claimant, "delivery": entry.delivery, "startedMs": entry.started_ms}
    if one.place is not None and one.place.lease_ms is not None and one.stats is not None:
        facts["leaseLeftMs"] = one.place.lease_ms - one.stats.now_ms
        left = _span(facts["leaseLeftMs"])
        text += (
            f"; its lease ends in {left} unless the worker renews it"
            if facts["leaseLeftMs"] > 0
            else "; its lease has ended: the worker seems to be gone, the next one that asks will get the task"
        )
    if one.timer_ms is not None:
        facts["timeOutDueMs"] = one.timer_ms
        text += f"; time-outs are looked at {_due(one.timer_ms, now_ms)}"
    return Reason("RUNNING", text, one.task.reference_task_name, one.task.task_id, facts)


def _queued(one: _Open, number: int) -> Reason:
    task, place, stats = one.task, one.place, one.stats
    name = f"queue {task.task_type}" + (f" domain {task.domain}" if task.domain else "")
    if place is None or stats is None or place == QueuePlace(None, None, None, False):
        text = f"{_called(task)} is on its way from partition {number} to {name}; the decider will deliver it"
        return _reason("HAND_OFF", task, text, queue=task.task_type, partition=number)
    if place.kept_by is not None:
        text = f"{_called(task)} is kept back in {name}: {_key_limit(place.kept_by, stats.limits)}"
        return _reason("KEY_LIMIT", task, text, queue=task.task_type, key=place.kept_by)
    if place.position is None and place.due_ms is not None:
        what = "is called back" if place.is_held else "may start"
        text = f"{_called(task)} {what} {_due(place.due_ms, stats.now_ms)} ({name})"
        return _reason("DELAYED", task, text, queue=task.task_type, dueMs=place.due_ms, isHeld=place.is_held)
    if place.position is None:
        text = f"{_called(task)} has just been handed to a worker of {name}"
        return _reason("CLAIMED", task, text, queue=task.task_type)
    domain = stats.domains.get(task.domain)
    ready = domain.ready if domain is not None else stats.ready
    facts: dict[str, Any] = {
        "queue": task.task_type,
        "domain": task.domain,
        "position": place.position + 1,
        "ready": ready,
    }
    text = f"{_called(task)} waits in {name} at place {place.position + 1:,} of {ready:,}"
    kind, held_up = _held_up(stats, facts, domain.waiting if domain is not None else 0)
    return _reason(kind, task, f"{text}: {held_up}", **facts)


def _held_up(stats: QueueStats, facts: dict[str, Any], waiting: int) -> tuple[str, str]:
    """What keeps a ready task from being handed out, with the limiter's numbers."""
    limits, out = None if stats.limits is None or stats.limits.per_key else stats.limits, stats.leased + stats.held
    facts.update(running=stats.leased, onHold=stats.held, workersWaiting=waiting)
    if stats.is_paused:
        return "QUEUE_PAUSED", "the queue is paused"
    if limits is not None and limits.concurrency and out >= limits.concurrency:
        facts["concurrentExecLimit"] = limits.concurrency
        return (
            "CONCURRENCY_LIMIT",
            f"the concurrency limit is reached, {out} of {limits.concurrency} at once "
            f"({stats.leased} running, {stats.held} on hold)",
        )
    if limits is not None and limits.rate and stats.spent >= limits.rate:
        facts.update(rateLimitPerFrequency=limits.rate, rateLimitFrequencyMs=limits.window_ms, spent=stats.spent)
        return "RATE_LIMIT", f"the rate limit is reached, {stats.spent} of {limits.rate} in {_span(limits.window_ms)}"
    if not waiting and not stats.leased:
        return "NO_WORKER", "no worker waits for this queue; if it stays so, start one with: orchestrator worker MODULE"
    if not waiting:
        return "QUEUED", f"its workers are busy ({stats.leased} running)"
    return "QUEUED", "a worker is about to take it"


def _key_limit(key: str, limits: Limits | None) -> str:
    """That the key of a task is at its limit, and which limit that is."""
    parts = [f"{limits.concurrency} at once"] if limits is not None and limits.concurrency else []
    if limits is not None and limits.rate:
        parts.append(f"{limits.rate} in {_span(limits.window_ms)}")
    return f"{key!r} is at its limit of {' and '.join(parts)}" if parts else f"{key!r} was at its limit"


def _outside(one: _Open, now_ms: int) -> Reason:
    task = one.task
    given = task.input_data
    if task.sub_workflow_id:
        text = f"{_called(task)} waits for the end of its workflow {task.sub_workflow_id}"
        return _reason("CHILD", task, text, workflowId=task.sub_workflow_id)
    if task.task_type == "SUB_WORKFLOW":
        return _reason("DELAYED", task, f"{_called(task)} starts its workflow {_due(one.timer_ms, now_ms)}")
    if task.task_type == "WAIT" and (given.get("duration") or given.get("until")):
        text = f"{_called(task)} waits until its time comes, {_due(one.timer_ms, now_ms)}"
        return _reason("TIMER", task, text, dueMs=one.timer_ms)
    if task.task_type == "WAIT":
        signal = given.get("signal") or task.reference_task_name
        text = (
            f"{_called(task)} waits for the signal {signal!r}; send it with: "
            f"orchestrator workflow signal {task.workflow_instance_id} {signal}"
        )
        return _reason("SIGNAL", task, text, signal=signal)
    if task.task_type == "PULL_WORKFLOW_MESSAGES":
        command = f"orchestrator workflow message push {task.workflow_instance_id}"
        text = f"{_called(task)} waits for a message; push one with: {command}"
        return _reason("MESSAGE", task, text)
    if task.task_type == "WAIT_FOR_WEBHOOK":
        text = (
            f"{_called(task)} waits for an event with {given.get('matches')} at a webhook that names "
            f"{task.workflow_type}; see: orchestrator webhook list"
        )
        return _reason("WEBHOOK", task, text, matches=given.get("matches"))
    what = "a person" if task.task_type == "HUMAN" else "somebody outside"
    return _reason("OUTSIDE", task, f"{_called(task)} waits for {what} to say how it ended")


def _joining(task: Task, workflow: Workflow) -> Reason:
    wanted = [ref for ref in task.input_data.get("joinOn", []) if isinstance(ref, str)]
    ended = {one.reference_task_name for one in workflow.tasks if one.is_terminal and not one.retried}
    left = [ref for ref in wanted if ref not in ended]
    shown = ", ".join(left[:NAMES_MAX]) + (f" and {len(left) - NAMES_MAX:,} more" if len(left) > NAMES_MAX else "")
    text = f"{_called(task)} waits for {shown or 'its members'}"
    return _reason("JOIN", task, text, left=len(left), members=len(wanted))


def _reason(kind: str, task: Task, text: str, **facts: Any) -> Reason:
    return Reason(kind, text, task.reference_task_name, task.task_id, facts)


def _called(task: Task) -> str:
    attempt = f" (attempt {task.retry_count + 1})" if task.retry_count else ""
    is_operator = dispatch_state(task.task_type) != "S"
    return f"{task.task_type if is_operator else 'task'} {task.reference_task_name}{attempt}"


def _due(at_ms: int | None, now_ms: int) -> str:
    if at_ms is None:
        return "at a time that nothing has set"
    if at_ms <= now_ms:
        return f"now (it was due {_span(now_ms - at_ms)} ago)"
    return f"in {_span(at_ms - now_ms)}, at {_moment(at_ms)}"


def _span(ms: int) -> str:
    seconds = max(0, ms) / 1000
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
