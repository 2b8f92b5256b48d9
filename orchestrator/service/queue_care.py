"""What an operator may do with the queue of a task type: change its limits, see who holds and who waits, stop, empty it.

Limits are those of the registered task definition, which this changes: there is one place that says them. Nothing here hands a
task out or decides for a workflow: what is purged ends in its workflow, as if somebody outside had said so.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from orchestrator.errors import DefinitionNotFound, InvalidRequest, TaskNotFound
from orchestrator.ids import workflow_id_of
from orchestrator.model.definitions import TaskDef, default_task_def, is_built_in
from orchestrator.model.execution import TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Plan
from orchestrator.service import metadata, tasks
from orchestrator.store import dispatch, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue import QueueStats
from orchestrator.store.queue_look import HOLDERS, WAITERS, Placed, Standing, look

LOOK_MAX = 1_000
RESPONSE_TIMEOUT_S = 3_600
"""Of a system task that gets a definition: a registered one has a time-out, and this is Conductor's default."""


class QueuedTask(NamedTuple):
    """One task of a queue. ``in_ms`` is when its lease ends or its time comes; ``worker`` is who began it last."""

    task_id: str
    workflow_id: str
    standing: str
    domain: str | None
    owner: str | None
    key: str | None
    delivery: int
    in_ms: int | None
    worker: str | None


def set_limits(
    store: StoreContext,
    task_type: str,
    *,
    concurrency: int | None = None,
    rate: int | None = None,
    per_s: int | None = None,
    limit_key: str | None = None,
    fairness_key: str | None = None,
) -> Plan[TaskDef]:
    """Change the limits of a task type from now on; what is not named stays, 0 and "" take a limit or a key away.

    A type without a definition gets one that is Conductor's default otherwise. Raises ``InvalidRequest`` and
    ``DefinitionInvalid``. Example: ``executor.run(set_limits(store, "charge", concurrency=5))``
    """
    if min(concurrency or 0, rate or 0, per_s if per_s is not None else 1) < 0 or per_s == 0:
        raise InvalidRequest(f"The limits of {task_type} are counts and seconds: 0 is no limit, a window is 1 or more.")
    try:
        before = yield from metadata.get_task_def(store, task_type)
    except DefinitionNotFound:
        before = default_task_def(task_type, task_type if is_built_in(task_type) else "SIMPLE")
        before.response_timeout_seconds = before.response_timeout_seconds or RESPONSE_TIMEOUT_S
    given = {
        "concurrent_exec_limit": concurrency,
        "rate_limit_per_frequency": rate,
        "rate_limit_frequency_in_seconds": per_s,
        "limit_key": limit_key,
        "fairness_key": fairness_key,
    }
    changed = msgspec.structs.replace(before, **{name: value for name, value in given.items() if value is not None})
    yield from metadata.put_task_def(store, changed)
    return changed


def show(store: StoreContext, task_type: str) -> Plan[QueueStats]:
    """What is in one queue, and which limits hold."""
    (found,) = yield from queue.stats(store.queues, [task_type])
    if isinstance(found, Exception):
        raise found
    return found


def holders(store: StoreContext, task_type: str, count: int = 100) -> Plan[list[QueuedTask]]:
    """Tasks that have a slot: with a worker, postponed, or lent; with who has them."""
    return (yield from _tasks(store, task_type, HOLDERS, count))


def waiters(store: StoreContext, task_type: str, count: int = 100) -> Plan[list[QueuedTask]]:
    """Tasks that wait, as the next ones to go: in line, kept back by the limit of their key, or for their time."""
    return (yield from _tasks(store, task_type, WAITERS, count))


def pause(store: StoreContext, task_type: str) -> Plan[None]:
    """Hand out no more tasks of a type until it is resumed; what is out goes on."""
    yield from queue.set_paused(store.queues, task_type, True)


def resume(store: StoreContext, task_type: str) -> Plan[None]:
    """Hand out tasks of a type again."""
    yield from queue.set_paused(store.queues, task_type, False)


def drain(store: StoreContext, task_type: str) -> Plan[int]:
    """Pause a type; how many of its tasks still are with workers. Ask again until none is."""
    yield from pause(store, task_type)
    return (yield from show(store, task_type)).leased


def purge(store: StoreContext, task_type: str, reason: str | None = None, count: int = LOOK_MAX) -> Plan[int]:
    """End up to ``count`` tasks that wait, each in its workflow and for good; how many. None that a worker has.

    They end FAILED_WITH_TERMINAL_ERROR, so a workflow fails with its task unless that is optional.
    """
    waiting = yield from _placed(store, task_type, WAITERS, count)
    ended = []
    for one in waiting[:count]:
        result = TaskResult(
            workflow_instance_id=workflow_id_of(one.task_id),
            task_id=one.task_id,
            status=TaskStatus.FAILED_WITH_TERMINAL_ERROR,
            reason_for_incompletion=reason or f"The queue {task_type} was purged",
        )
        try:
            yield from tasks.update_task(store, result, wait_commit=False)
        except TaskNotFound:
            pass  # it ended by itself meanwhile, and the queue is about to hear of it
        else:
            ended.append(one.task_id)
    removed = yield from queue.remove(store.queues, {task_type: ended})
    for answer in removed.values():
        if isinstance(answer, Exception):
            raise answer
    return len(ended)


def _placed(store: StoreContext, task_type: str, standings: frozenset[Standing], count: int) -> Plan[list[Placed]]:
    if not 0 < count <= LOOK_MAX:
        raise InvalidRequest(f"count must be from 1 to {LOOK_MAX:,}; it is {count}")
    return (yield from look(store.keys, task_type, standings, count))


def _tasks(store: StoreContext, task_type: str, standings: frozenset[Standing], count: int) -> Plan[list[QueuedTask]]:
    placed = (yield from _placed(store, task_type, standings, count))[:count]
    if not placed:
        return []
    stats = yield from show(store, task_type)
    keys = store.keys
    attempts = yield [
        dispatch.attempt(keys, keys.partition_of(workflow_id_of(one.task_id)), one.task_id) for one in placed
    ]
    return [
        QueuedTask(
            one.task_id,
            workflow_id_of(one.task_id),
            str(one.standing),
            one.domain,
            one.owner,
            one.key,
            one.delivery,
            None if one.until_ms is None else max(0, one.until_ms - stats.now_ms),
            _worker(attempt),
        )
        for one, attempt in zip(placed, attempts, strict=True)
    ]


def _worker(attempt: dispatch.OpenAttempt | Exception | None) -> str | None:
    if not isinstance(attempt, dispatch.OpenAttempt) or attempt.dispatch.claimant in ("-", dispatch.TELLS):
        return None
    return attempt.dispatch.claimant
