"""Tasks for workers that only speak HTTP: they are lent, and their response time-out is the only judge of silence.

Such a worker polls, runs, and says by task id how it ended; it sends no heartbeats. So a task goes out in three steps:
claimed under a short lease, started in its partition, then lent in its queue for as long as its worker may be silent.
Whoever does that for the worker may die between any two of them: before the loan the task comes back when its lease
ends, after it everything the task needs is in the store. What a worker did not receive after all is handed back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from orchestrator.codec import unpack
from orchestrator.engine.views import attempt_view, steps_of
from orchestrator.ids import workflow_id_of
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.execution import Task
from orchestrator.model.records import Meta, Result, decode_result
from orchestrator.model.status import TaskStatus
from orchestrator.model.wire import workflow_def_from_dict
from orchestrator.plan import Command, Plan
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Claimed, Release, Report, TaskToRun
from orchestrator.store import partition, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Beat, Lend, Loan

MARGIN_MS = 30_000
"""For so long after the response time-out the partition may take to judge, before the queue offers the task again; and so
long after its delay a postponed task comes back whose server died while it said so."""

ENDLESS_MS = 366 * 24 * 3_600_000
"""How long a task without response time-out is lent."""


DEFINITIONS_MAX = 500
"""So many definitions a process keeps to show their steps with the tasks it hands out."""


class Lent(NamedTuple):
    """A task for its worker; ``progress`` is what was reported of it when it was out before."""

    run: TaskToRun
    progress: Result | None


def hand_out(store: StoreContext, claimed: Sequence[Claimed], worker: str) -> Plan[list[Lent]]:
    """Start claimed tasks for ``worker`` and lend them; gives those that it may have, in order.

    A task that ended meanwhile, was delivered too often or lacks a secret is dealt with here. After an error nobody
    knows what is lent: ``hand_back`` all. Example: ``await executor.run(hand_out(store, claimed, "host-1"))``
    """
    answers = yield from dispatch.start_tasks(store, claimed, worker)
    runs = [answer for answer in answers if isinstance(answer, TaskToRun)]
    releases = [answer.release for answer in answers if not isinstance(answer, TaskToRun) and answer.release]
    unfit = [run for run in runs if run.claimed.is_lost or run.fault is not None]
    if unfit:
        releases += yield from _end(store, unfit, worker)
    fit = [run for run in runs if not (run.claimed.is_lost or run.fault is not None)]
    words = yield from _lend(store, [(run.claimed, Lend.OUT, loan_ms(run.response_ms)) for run in fit], releases)
    lent = [run for run in fit if words.get(run.claimed.task_id) is Beat.OK]
    return (yield from _with_progress(store, lent))


def poll(
    store: StoreContext, task_type: str, worker: str, *, domain: str | None = None, count: int = 1
) -> Plan[list[Task]]:
    """Tasks of one type for a worker that asks by itself now and then; none when nothing waits.

    Not idempotent: what an answer that was lost held comes back when its response time-out is over.
    Example: ``executor.run(poll(store, "charge", "host-1"))``
    """
    reply = yield from dispatch.claim_tasks(store, [dispatch.Want(task_type, domain, count)], worker)
    for failure in reply.failures.values():
        raise failure
    if not reply.claimed:
        return []
    lent = yield from hand_out(store, reply.claimed, worker)
    return (yield from show(store, lent, Steps(), worker))


class Steps:
    """The steps of the definitions that executions run on, read once each; one per process."""

    def __init__(self) -> None:
        self._by_hash: dict[str, dict[str, WorkflowTask]] = {}

    def of(self, store: StoreContext, workflow_id: str, meta: Meta) -> Plan[dict[str, WorkflowTask]]:
        """The steps of one execution's definition, by reference."""
        known = self._by_hash.get(meta.definition_hash)
        if known is not None:
            return known
        number = store.keys.partition_of(workflow_id)
        body = yield partition.load_definition(store.keys, number, meta.definition_hash)
        if body is None:
            return {}
        if len(self._by_hash) >= DEFINITIONS_MAX:
            del self._by_hash[next(iter(self._by_hash))]
        steps = steps_of(workflow_def_from_dict(msgspec.json.decode(body), check=None))
        self._by_hash[meta.definition_hash] = steps
        return steps


def show(store: StoreContext, lent: Sequence[Lent], steps: Steps, worker: str) -> Plan[list[Task]]:
    """Lent tasks as their worker is shown them, in order: IN_PROGRESS, with secrets in their places."""
    shown = []
    for run, progress in lent:
        workflow_id = workflow_id_of(run.claimed.task_id)
        task = attempt_view(workflow_id, run.meta, run.scheduled, (yield from steps.of(store, workflow_id, run.meta)))
        task.status = TaskStatus.IN_PROGRESS
        task.start_time = run.started_ms
        task.update_time = max(run.claimed.granted_ms, run.started_ms)
        task.poll_count = run.polls
        task.worker_id = worker
        task.callback_after_seconds = 0
        task.response_timeout_seconds = run.response_ms // 1000
        task.runtime_metadata = dict(run.runtime_metadata)
        if progress is not None:
            output = store.payloads.fetched(bytes(progress.output))
            task.output_data = unpack(output)
            task.reason_for_incompletion = progress.reason
        shown.append(task)
    return shown


def hand_back(store: StoreContext, claimed: Sequence[Claimed]) -> Plan[None]:
    """Let other workers have these at once: nobody has seen them. What is not out any more is left alone."""
    yield from _lend(store, [(one, Lend.BACK, 0) for one in claimed], [])


def loan_ms(response_ms: int) -> int:
    """For how long a task is lent whose worker may be silent for ``response_ms``, 0 = for ever."""
    return response_ms + MARGIN_MS if response_ms else ENDLESS_MS


def _end(store: StoreContext, runs: Sequence[TaskToRun], worker: str) -> Plan[list[Release]]:
    """Report tasks that cannot be handed out; gives the leases that are over with it."""
    reports = [
        Report(run.claimed, dispatch.fault_outcome(run.fault) if run.fault else dispatch.lost_outcome(run.claimed))
        for run in runs
    ]
    judged = yield from dispatch.report_tasks(store, reports, worker)
    return [verdict.release for verdict in judged if verdict.release is not None]


def _lend(
    store: StoreContext, wanted: Sequence[tuple[Claimed, Lend, int]], releases: Sequence[Release]
) -> Plan[dict[str, Beat]]:
    """Lend or hand back, and give leases back, in one pipeline; per task id what its queue says of the loan."""
    loans: dict[str, list[Loan]] = defaultdict(list)
    for claimed, how, delay_ms in wanted:
        loans[claimed.type].append(Loan(how, claimed.task_id, claimed.delivery, delay_ms))
    over: dict[str, list[Release]] = defaultdict(list)
    for release in releases:
        over[release.type].append(release)
    builders = [_lending(store, task_type, part) for task_type, part in loans.items()]
    builders += [_settling(store, task_type, part) for task_type, part in over.items()]
    replies = yield from queue.send(builders)
    words: dict[str, Beat] = {}
    for part, reply in zip(loans.values(), replies, strict=False):
        if isinstance(reply, Exception):
            raise reply
        words.update(zip([loan.task_id for loan in part], reply, strict=True))
    return words


def _lending(store: StoreContext, task_type: str, loans: Sequence[Loan]) -> queue.Builder:
    return lambda: store.queues.lend_call(task_type, loans)


def _settling(store: StoreContext, task_type: str, releases: Sequence[Release]) -> queue.Builder:
    settlements = [release.settlement for release in releases]
    return lambda: store.queues.settle_call(task_type, settlements)


def _with_progress(store: StoreContext, runs: Sequence[TaskToRun]) -> Plan[list[Lent]]:
    """The tasks with what was reported of those that were out before."""
    again = [run for run in runs if run.polls > 1]
    known: dict[str, Result] = {}
    if again:
        replies = yield [_read_result(store, run) for run in again]
        for run, reply in zip(again, replies, strict=True):
            if not isinstance(reply, Exception) and reply[0] is not None:
                known[run.claimed.task_id] = decode_result(reply[0])
    return [Lent(run, known.get(run.claimed.task_id)) for run in runs]


def _read_result(store: StoreContext, run: TaskToRun) -> Command:
    workflow_id = workflow_id_of(run.claimed.task_id)
    number = store.keys.partition_of(workflow_id)
    return partition.load_records(store.keys, number, workflow_id, [f"R{run.scheduled.ref}"])
