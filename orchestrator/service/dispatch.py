"""Handing tasks out and taking outcomes in: what a worker does with the store, as plans.

The order is the protocol: claim (the queue proposes, under a lease), start (the partition confirms), run, report (the
partition takes the outcome once), and only after its answer release (the queue forgets). A crash between any two steps
costs at most one lease time and never an outcome. Everything comes in batches, one round trip each where that is
possible. Callers are native workers, the simulation and the HTTP server; nobody here runs a task or keeps a clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from orchestrator.errors import PayloadMissing, PayloadUnavailable
from orchestrator.ids import workflow_id_of
from orchestrator.model.records import (
    FORMAT,
    PARKED_MS,
    Meta,
    Outcome,
    Scheduled,
    decode_meta,
    decode_scheduled,
    encode,
)
from orchestrator.payloads import path_in
from orchestrator.plan import Call, Plan
from orchestrator.service import secrets
from orchestrator.store import dispatch as truth
from orchestrator.store import queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Ask, Beat, Claim, Settlement
from orchestrator.store.queue_values import Release as How
from orchestrator.store.verdicts import Verdict

BATCH_MAX = 100  # tasks per script: longer ones would hold up every other client of the server

UNKNOWN = "UNKNOWN"
"""The word for a task whose partition refused or failed to answer: ask again later."""


class Want(NamedTuple):
    """Up to ``tasks_max`` tasks of one type and domain."""

    type: str
    domain: str | None
    tasks_max: int


class Claimed(NamedTuple):
    """One delivery of a task under a lease; ``is_lost``: it was delivered too often and must not run again.

    ``granted_ms`` is the store's time of the grant, by which rate limits are kept.
    """

    task_id: str
    type: str
    delivery: int
    offer: int
    is_lost: bool = False
    granted_ms: int = 0


_Item = TypeVar("_Item")
_Task = TypeVar("_Task", Claimed, truth.Report)


class Release(NamedTuple):
    """A lease to give back with one of the next claims."""

    type: str
    settlement: Settlement


class QueueNews(NamedTuple):
    """What a queue says beside its tasks: its time, when something may change by itself, and whether it has limits."""

    now_ms: int
    hint_ms: int
    is_limited: bool


class ClaimReply(NamedTuple):
    """What a claim brought.

    ``queues``: what each type's queue said. ``unsettled``: releases to send again. ``failures``: the types whose queue
    refused, with the reason.
    """

    claimed: list[Claimed]
    queues: dict[str, QueueNews]
    unsettled: list[Release]
    failures: dict[str, Exception]


class TaskToRun(NamedTuple):
    """A claimed task that its partition confirmed; ``started_ms`` is the first start of the attempt.

    ``polls`` counts its starts; ``response_ms`` is for how long its worker may stay silent, 0 = for ever.
    The input in ``scheduled`` is the worker's copy, with secrets in their places; the ``hidden`` texts are to be struck
    out of what is told of the task. A task with a ``fault`` is not run but reported FAILED (``fault_outcome``).
    """

    claimed: Claimed
    scheduled: Scheduled
    meta: Meta
    started_ms: int
    polls: int
    response_ms: int
    runtime_metadata: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()
    fault: str | None = None


class Refused(NamedTuple):
    """A claimed task that must not run. GONE comes with a release; after other words the lease is left to its end."""

    claimed: Claimed
    word: str
    release: Release | None


class Report(NamedTuple):
    """How a claimed task ended, or that it goes on (IN_PROGRESS)."""

    claimed: Claimed
    outcome: Outcome


class Judged(NamedTuple):
    """The partition's word on a report (OK, DUP, STALE, GONE, CORRUPT or UNKNOWN) and what follows for the lease."""

    claimed: Claimed
    word: str
    release: Release | None


def claim_tasks(
    store: StoreContext, wants: Sequence[Want], claimant: str, *, wait_ms: int = 0, settle: Sequence[Release] = ()
) -> Plan[ClaimReply]:
    """Give leases back and lease ready tasks of many types, in one pipeline and in that order.

    A freed slot of a limited type can so be taken by the same claim. With ``wait_ms`` the claimant is registered for a
    wake-up by every queue that granted nothing. Not idempotent: tasks of a lost answer come back when their lease ends.
    Example: ``executor.run(claim_tasks(store, [Want("charge", None, 10)], "worker-1"))``
    """
    batches = list(_settlements(settle))
    builders: list[queue.Builder] = [_settling(store, task_type, releases) for task_type, releases in batches]
    builders += [_claiming(store, Ask(want.type, claimant, want.tasks_max, want.domain, wait_ms)) for want in wants]
    replies = yield from queue.send(builders)
    answer = ClaimReply([], {}, [], {})
    for (_, releases), reply in zip(batches, replies[: len(batches)], strict=True):
        if isinstance(reply, Exception):
            answer.unsettled.extend(releases)
    for want, reply in zip(wants, replies[len(batches) :], strict=True):
        if isinstance(reply, Exception):
            answer.failures[want.type] = reply
        else:
            _add_claim(answer, want.type, reply)
    for entry in settle:
        # A server that must be sent the script settle anew runs it after the claim: the hint then knows nothing of it.
        news = answer.queues.get(entry.type)
        if entry.settlement.release is How.HOLD and news is not None:
            hint_ms = min(news.hint_ms, max(1, entry.settlement.delay_ms))
            answer.queues[entry.type] = news._replace(hint_ms=hint_ms)
    return answer


def start_tasks(store: StoreContext, claimed: Sequence[Claimed], claimant: str) -> Plan[list[TaskToRun | Refused]]:
    """Ask the partitions whether claimed tasks may run; one answer for each, in order.

    Example: ``runs = [task for task in executor.run(start_tasks(store, claimed, me)) if isinstance(task, TaskToRun)]``
    """

    def starting(partition: int, part: Sequence[Claimed]) -> Call:
        return truth.start_task(store.keys, partition, claimant, _deliveries(part))

    answers = yield from _ask_partitions(store, claimed, starting)
    if store.settings.durability != "none":
        yield from _confirm_gone(store, claimed, starting, answers)
    found = [_started(task, answer) for task, answer in zip(claimed, answers, strict=True)]
    found = [_with_input(store, task) if isinstance(task, TaskToRun) else task for task in found]
    if any(isinstance(task, TaskToRun) and (task.scheduled.secrets or task.scheduled.runtime) for task in found):
        found = yield from _revealed(store, found)
    return found


def report_tasks(store: StoreContext, reports: Sequence[Report], claimant: str) -> Plan[list[Judged]]:
    """Hand in outcomes; one verdict for each, in order. Idempotent: a final outcome that was taken before is DUP.

    An output larger than the setting ``payload_bytes_max`` makes the report FAILED_WITH_TERMINAL_ERROR.
    Example: ``executor.run(report_tasks(store, [Report(claimed, Outcome(FORMAT, "COMPLETED"))], me))``
    """
    limit = store.settings.payload_bytes_max
    reports = [Report(claimed, _moved_out(store, claimed, outcome, limit)) for claimed, outcome in reports]
    bodies = [
        truth.Report(
            claimed.task_id,
            claimed.delivery,
            outcome.status != "IN_PROGRESS",
            encode(outcome),
            is_parked=outcome.callback_after_ms == PARKED_MS,
        )
        for claimed, outcome in reports
    ]

    def accepting(partition: int, part: Sequence[truth.Report]) -> Call:
        return truth.accept(store.keys, partition, claimant, part)

    answers = yield from _ask_partitions(store, bodies, accepting)
    return [_judged(report, answer) for report, answer in zip(reports, answers, strict=True)]


def extend_leases(store: StoreContext, held: Sequence[Claimed]) -> Plan[dict[str, Beat]]:
    """Extend leases by the setting ``lease_ms``; per task id what the queue says of it.

    Tasks whose queue did not answer are absent. Example: ``executor.run(extend_leases(store, held)).get(task_id)``
    """
    by_type: dict[str, list[Claimed]] = defaultdict(list)
    for claimed in held:
        by_type[claimed.type].append(claimed)
    parts = [(task_type, part) for task_type, tasks in by_type.items() for part in _parts(tasks)]
    replies = yield [
        store.queues.heartbeat_call(task_type, [(claimed.task_id, claimed.delivery) for claimed in part])
        for task_type, part in parts
    ]
    words: dict[str, Beat] = {}
    for (_, part), reply in zip(parts, replies, strict=True):
        if not isinstance(reply, Exception):
            words.update(zip([claimed.task_id for claimed in part], reply, strict=True))
    return words


def touch_tasks(store: StoreContext, held: Sequence[Claimed], claimant: str) -> Plan[dict[str, str]]:
    """Tell the partitions that running tasks are alive, so that their response time-outs start anew; words by id."""

    def touching(partition: int, part: Sequence[Claimed]) -> Call:
        return truth.touch(store.keys, partition, claimant, _deliveries(part))

    answers = yield from _ask_partitions(store, held, touching)
    return {claimed.task_id: _word(answer) for claimed, answer in zip(held, answers, strict=True)}


def release(claimed: Claimed, how: How, delay_ms: int = 0) -> Release:
    """Give a lease back under the numbers it was claimed with. Example: ``release(claimed, How.BACK)``"""
    return Release(claimed.type, Settlement(how, claimed.task_id, claimed.delivery, claimed.offer, delay_ms))


def _with_input(store: StoreContext, task: TaskToRun) -> TaskToRun:
    """The task with its input from wherever that is kept; one that is lost is a fault of this task alone."""
    path = path_in(memoryview(task.scheduled.input))
    if path is None:
        return task
    try:
        found = store.payloads.read(path)
    except (PayloadMissing, PayloadUnavailable) as error:
        return task._replace(fault=str(error))
    return task._replace(scheduled=msgspec.structs.replace(task.scheduled, input=Raw(found)))


def fault_outcome(fault: str) -> Outcome:
    """What to report of a task that cannot be run as it is: a retriable failure, since the fault can be mended."""
    return Outcome(FORMAT, "FAILED", reason=fault)


def lost_outcome(claimed: Claimed) -> Outcome:
    """What to report, after its start, of a task that was delivered too often: an ordinary, retriable failure."""
    deliveries = claimed.delivery - 1
    return Outcome(
        FORMAT, "FAILED", reason=f"lost after {deliveries} deliveries: no worker kept its lease until it reported"
    )


def _settlements(releases: Sequence[Release]) -> list[tuple[str, list[Release]]]:
    by_type: dict[str, list[Release]] = defaultdict(list)
    for entry in releases:
        by_type[entry.type].append(entry)
    return [(task_type, part) for task_type, entries in by_type.items() for part in _parts(entries)]


def _settling(store: StoreContext, task_type: str, releases: Sequence[Release]) -> queue.Builder:
    settlements = [entry.settlement for entry in releases]
    return lambda: store.queues.settle_call(task_type, settlements)


def _claiming(store: StoreContext, ask: Ask) -> queue.Builder:
    return lambda: store.queues.claim_call(ask)


def _add_claim(answer: ClaimReply, task_type: str, claim: Claim) -> None:
    answer.queues[task_type] = QueueNews(claim.now_ms, claim.hint_ms, claim.is_limited)
    for task_id, delivery, offer, is_lost in claim.tasks:
        answer.claimed.append(Claimed(task_id, task_type, delivery, offer, is_lost, claim.now_ms))


def _confirm_gone(
    store: StoreContext,
    claimed: Sequence[Claimed],
    starting: Callable[[int, Sequence[Claimed]], Call],
    answers: list[Any],
) -> Plan[None]:
    """Ask again, behind the durability barrier, before a queue is told to forget a task.

    GONE may rest on a write that a failover takes back; forgotten by its queue, the task would then be nowhere.
    """
    gone = [index for index, answer in enumerate(answers) if answer == Verdict.GONE]
    if not gone:
        return

    def durably(partition: int, part: Sequence[Claimed]) -> Call:
        return starting(partition, part)._replace(durable=True)

    confirmed = yield from _ask_partitions(store, [claimed[index] for index in gone], durably)
    for index, answer in zip(gone, confirmed, strict=True):
        answers[index] = answer


def _started(claimed: Claimed, answer: Any) -> TaskToRun | Refused:
    if isinstance(answer, truth.Started):
        try:
            scheduled, meta = decode_scheduled(answer.scheduled), decode_meta(answer.meta)
        except msgspec.MsgspecError:
            return Refused(claimed, Verdict.CORRUPT, None)
        return TaskToRun(claimed, scheduled, meta, answer.started_ms, answer.polls, answer.response_ms)
    word = _word(answer)
    return Refused(claimed, word, release(claimed, How.DONE) if word == Verdict.GONE else None)


def _moved_out(store: StoreContext, claimed: Claimed, outcome: Outcome, limit: int) -> Outcome:
    """The outcome with its output where it belongs: with it, elsewhere, or (too large) nowhere."""
    size, workflow_id = memoryview(outcome.output).nbytes, workflow_id_of(claimed.task_id)
    if size <= limit:
        if not store.payloads.is_used:
            return outcome
        output = bytes(outcome.output)
        stays = store.payloads.moved_out(workflow_id, output)
        return outcome if stays is output else msgspec.structs.replace(outcome, output=Raw(stays))
    reason = (
        f"The payload size: {size} of task: {claimed.task_id} in workflow: {workflow_id}  is greater than the "
        f"permissible limit: {limit} bytes"
    )
    return Outcome(FORMAT, "FAILED_WITH_TERMINAL_ERROR", reason=reason, logs=outcome.logs)


def _judged(report: Report, answer: Any) -> Judged:
    (claimed, outcome), word = report, _word(answer)
    if word == Verdict.OK and outcome.status == "IN_PROGRESS" and outcome.callback_after_ms != PARKED_MS:
        return Judged(claimed, word, release(claimed, How.HOLD, outcome.callback_after_ms))
    if word in (Verdict.OK, Verdict.DUP, Verdict.GONE):
        return Judged(claimed, word, release(claimed, How.DONE))
    return Judged(claimed, word, None)


def _ask_partitions(
    store: StoreContext, tasks: Sequence[_Task], call: Callable[[int, Sequence[_Task]], Call]
) -> Plan[list[Any]]:
    """One script per partition (and 100 tasks), all in one pipeline; answers in the order of ``tasks``."""
    by_partition: dict[int, list[int]] = defaultdict(list)
    partition_of = store.keys.partition_of
    for index, task in enumerate(tasks):
        by_partition[partition_of(workflow_id_of(task.task_id))].append(index)
    parts = [(partition, part) for partition, indexes in by_partition.items() for part in _parts(indexes)]
    replies = yield [call(partition, [tasks[index] for index in part]) for partition, part in parts]
    answers: list[Any] = [None] * len(tasks)
    for (_, part), reply in zip(parts, replies, strict=True):
        each = [reply] * len(part) if isinstance(reply, Exception) else reply
        for index, answer in zip(part, each, strict=True):
            answers[index] = answer
    return answers


def _deliveries(part: Sequence[Claimed]) -> list[truth.Claimed]:
    return [truth.Claimed(claimed.task_id, claimed.delivery) for claimed in part]


def _revealed(store: StoreContext, found: Sequence[TaskToRun | Refused]) -> Plan[list[TaskToRun | Refused]]:
    runs = [task for task in found if isinstance(task, TaskToRun) and task.fault is None]
    copies = iter((yield from secrets.reveal(store, [run.scheduled for run in runs])))
    return [
        task._replace(**next(copies)._asdict()) if isinstance(task, TaskToRun) and task.fault is None else task
        for task in found
    ]


def _word(answer: Any) -> str:
    return UNKNOWN if isinstance(answer, Exception) else str(answer)


def _parts(items: list[_Item]) -> list[list[_Item]]:
    return [items[at : at + BATCH_MAX] for at in range(0, len(items), BATCH_MAX)]
