"""Queues of tasks that are ready to be worked on: the verbs, as plans.

Every verb takes the work for many queues and sends it in one pipeline, because that is what the relay and the workers
have. One queue that refuses does not hide what the others answered: its error stands in its place. A call whose queue
has got domains that this process did not know is built and sent again. Nothing here knows how a queue keeps its tasks:
that is ``queue_calls`` and the scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from orchestrator.errors import StoreUnavailable
from orchestrator.plan import Call, Plan
from orchestrator.store.queue_calls import BATCH_MAX, DOMAINS_MAX, Queues
from orchestrator.store.queue_values import (
    RELEARNED,
    Ask,
    Beat,
    Claim,
    Claimed,
    DomainStats,
    Lend,
    Limits,
    Loan,
    Offer,
    QueueStats,
    Relearned,
    Release,
    Removed,
    Settlement,
)

__all__ = [
    "BATCH_MAX",
    "DOMAINS_MAX",
    "RELEARNED",
    "ROUNDS_MAX",
    "Ask",
    "Beat",
    "Claim",
    "Claimed",
    "DomainStats",
    "Lend",
    "Limits",
    "Loan",
    "Offer",
    "QueueStats",
    "Queues",
    "Relearned",
    "Release",
    "Removed",
    "Settlement",
    "claim",
    "enqueue",
    "lend",
    "remove",
    "send",
    "set_limits",
    "set_paused",
    "settle",
    "stats",
]

ROUNDS_MAX = 16

T = TypeVar("T")
Builder = Callable[[], Call]


def send(builders: Sequence[Builder]) -> Plan[list[Any]]:
    """Send every call in one pipeline, and again those that answer ``RELEARNED``, built anew; replies in order.

    A reply that failed is the exception itself. Example: ``send([lambda: queues.stats_call("charge")])``
    """
    replies: list[Any] = [RELEARNED] * len(builders)
    open_ = list(range(len(builders)))
    for _ in range(ROUNDS_MAX):
        if not open_:
            return replies
        answers = yield [builders[index]() for index in open_]
        for index, answer in zip(open_, answers, strict=True):
            replies[index] = answer
        open_ = [index for index in open_ if replies[index] is RELEARNED]
    for index in open_:
        replies[index] = StoreUnavailable("the domains of a task type keep changing; repeat later")
    return replies


def enqueue(
    queues: Queues, batches: Mapping[str, Sequence[Offer]], limits: Mapping[str, Limits] | None = None
) -> Plan[dict[str, int | Exception]]:
    """Make tasks claimable, by task type. Gives per type how many were new to the queue, or its error.

    After an error some of a type's tasks may be queued: repeat them all, that is safe.
    Example: ``executor.run(enqueue(queues, {"charge": [Offer(task_id)]}))``
    """
    limits = limits or {}

    def builder(task_type: str, part: Sequence[Offer]) -> Builder:
        return lambda: queues.enqueue_call(task_type, part, limits.get(task_type))

    return (yield from _in_parts(batches, builder, lambda counts: sum(counts)))


def claim(queues: Queues, asks: Sequence[Ask]) -> Plan[list[Claim | Exception]]:
    """Lease ready tasks of several queues at once. Gives one answer per ask, in order.

    Example: ``executor.run(claim(queues, [Ask("charge", claimant="worker-1", tasks_max=10, wait_ms=2_000)]))``
    """
    return (yield from send([_bind(queues.claim_call, ask) for ask in asks]))


def settle(queues: Queues, batches: Mapping[str, Sequence[Settlement]]) -> Plan[dict[str, int | Exception]]:
    """Give leases back, by task type, after the partition's durable answer. Gives how many were still current."""

    def builder(task_type: str, part: Sequence[Settlement]) -> Builder:
        return lambda: queues.settle_call(task_type, part)

    return (yield from _in_parts(batches, builder, lambda counts: sum(counts)))


def lend(queues: Queues, task_type: str, loans: Sequence[Loan]) -> Plan[list[Beat]]:
    """Lend at most ``BATCH_MAX`` tasks of one type, or change for how long they are lent. Gives a word for each."""
    words: list[Beat] = yield from _one(lambda: queues.lend_call(task_type, loans))
    return words


def remove(queues: Queues, batches: Mapping[str, Sequence[str]]) -> Plan[dict[str, Removed | Exception]]:
    """Take cancelled tasks out of their queues, by task type."""

    def builder(task_type: str, part: Sequence[str]) -> Builder:
        return lambda: queues.remove_call(task_type, part)

    def total(parts: Iterable[Removed]) -> Removed:
        counts = list(parts)
        return Removed(sum(part.removed for part in counts), sum(part.marked for part in counts))

    return (yield from _in_parts(batches, builder, total))


def expedite(queues: Queues, batches: Mapping[str, Sequence[str]]) -> Plan[dict[str, int | Exception]]:
    """Let tasks that wait for their time be claimed at once, by task type. Gives how many did wait."""

    def builder(task_type: str, part: Sequence[str]) -> Builder:
        return lambda: queues.expedite_call(task_type, part)

    return (yield from _in_parts(batches, builder, lambda counts: sum(counts)))


def set_limits(queues: Queues, task_type: str, limits: Limits) -> Plan[bool]:
    """Write limits and wake who may now go on. ``False``: the queue has newer ones."""
    return bool((yield from _one(lambda: queues.set_limits_call(task_type, limits))))


def set_paused(queues: Queues, task_type: str, is_paused: bool) -> Plan[None]:
    """Stop or allow claims of a task type; tasks that are out go on."""
    yield from _one(lambda: queues.set_limits_call(task_type, is_paused=is_paused))


def stats(queues: Queues, task_types: Sequence[str]) -> Plan[list[QueueStats | Exception]]:
    """Look at several queues, in order."""
    return (yield from send([_bind(queues.stats_call, task_type) for task_type in task_types]))


def _one(builder: Builder) -> Plan[Any]:
    (reply,) = yield from send([builder])
    if isinstance(reply, Exception):
        raise reply
    return reply


def _in_parts(
    batches: Mapping[str, Sequence[T]],
    builder: Callable[[str, Sequence[T]], Builder],
    total: Callable[[list[Any]], Any],
) -> Plan[dict[str, Any]]:
    parts = [(task_type, part) for task_type, batch in batches.items() for part in _parts(batch)]
    replies = yield from send([builder(task_type, part) for task_type, part in parts])
    by_type: dict[str, list[Any]] = {task_type: [] for task_type in batches}
    for (task_type, _), reply in zip(parts, replies, strict=True):
        by_type[task_type].append(reply)
    return {task_type: _first_error(answers) or total(answers) for task_type, answers in by_type.items()}


def _parts(batch: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(batch), BATCH_MAX):
        yield batch[start : start + BATCH_MAX]


def _first_error(answers: list[Any]) -> Exception | None:
    return next((answer for answer in answers if isinstance(answer, Exception)), None)


def _bind(build: Callable[[T], Call], argument: T) -> Builder:
    return lambda: build(argument)
