"""The script calls of the queues: one queue per task type, each in a slot of its own.

A queue is a cache of intent: it hands out leases within its limits, but whether a task may still run is decided by its
partition. ``Queues`` builds the calls; ``queue`` makes whole verbs of them. A queue's domains are numbered by its
slot and remembered here: a call built on an old list changes nothing, teaches this process the new list and answers
``RELEARNED``, and is then built again. Callers are ``queue`` and whoever pipelines calls of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import Conflict
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys
from orchestrator.store.queue_values import (
    RELEARNED,
    Ask,
    Beat,
    Limits,
    Loan,
    Offer,
    Relearned,
    Removed,
    Settlement,
    read_claim,
    read_stats,
)

BATCH_MAX = 250  # tasks per script: longer ones would hold up every other client of the server
DOMAINS_MAX = 250  # every claim names the keys of all domains of its type

_NO_LIMITS: tuple[Argument, ...] = ("", "", "", "", "")


def _words(limits: Limits | None) -> tuple[Argument, ...]:
    return _NO_LIMITS if limits is None else limits[:5]


def _is_per_key(limits: Limits | None) -> str:
    return "1" if limits is not None and limits.per_key else "0"


class _Layout(NamedTuple):
    """What this process knows of one queue: its domains, whether its tasks have keys, and the names every script is given.

    ``version`` is what the queue calls this knowledge.
    """

    version: str
    is_keyed: bool
    indexes: dict[str | None, int]
    keys: tuple[str, ...]


class Queues:
    """Builds the calls of all queues of one installation, and remembers each queue's domains; one per process.

    ``priority_step_ms`` is what one level of priority is worth in waiting time (D24), ``deliveries_max`` how often a
    task is handed out before it counts as lost. Safe to share between threads.
    Example: ``queues = Queues(Keys()); queues.enqueue_call("charge", [Offer("w-k3v7q2m5n4pa")])``
    """

    def __init__(
        self, keys: Keys, *, priority_step_ms: int = 1000, lease_ms: int = 15_000, deliveries_max: int = 10
    ) -> None:
        self._keys = keys
        self._priority_step_ms = priority_step_ms
        self._lease_ms = lease_ms
        self._deliveries_max = deliveries_max
        self._layouts: dict[str, _Layout] = {}

    def enqueue_call(self, task_type: str, offers: Sequence[Offer], limits: Limits | None = None) -> Call:
        """Make at most ``BATCH_MAX`` tasks claimable; a task that is already queued only gets a new offer number.

        ``limits`` are written first when they are newer than the queue's. Replies how many tasks are new to the queue,
        or ``RELEARNED``. Durable, because the outbox entry that asked for it is deleted afterwards.
        """
        layout = self._layout(task_type)
        args: list[Argument] = [layout.version, self._priority_step_ms, self._lease_ms]
        args += _words(limits)
        if layout.is_keyed:
            args.append(_is_per_key(limits))
        elif limits is not None and limits.per_key:
            return self._key_queue(task_type)
        for task_id, domain, priority, delay_ms, keys in offers:
            index = layout.indexes.get(domain)
            if index is None:
                return self._ensure_domain(task_type, domain)
            args += (task_id, index, priority, delay_ms)
            if layout.is_keyed:
                args.append(keys)
            elif keys:
                return self._key_queue(task_type)
        return Call("enqueue", layout.keys, args, self._reader(task_type, _second), durable=True)

    def claim_call(self, ask: Ask) -> Call:
        """Lease ready tasks within the limits of the queue. Replies a ``Claim`` or ``RELEARNED``.

        Not idempotent: tasks of a lost answer come back when their leases end.
        """
        layout = self._layout(ask.task_type)
        index = layout.indexes.get(ask.domain)
        if index is None:
            return self._ensure_domain(ask.task_type, ask.domain)
        args = (layout.version, index, ask.tasks_max, self._lease_ms, ask.claimant, ask.wait_ms, self._deliveries_max)
        return Call("claim", layout.keys, args, self._reader(ask.task_type, read_claim))

    def settle_call(self, task_type: str, settlements: Sequence[Settlement]) -> Call:
        """Give at most ``BATCH_MAX`` leases back. Replies how many were still current, or ``RELEARNED``.

        Only after a durable answer of the partition: what it releases is forgotten.
        """
        layout = self._layout(task_type)
        args: list[Argument] = [layout.version]
        for settlement in settlements:
            args += settlement
        return Call("settle", layout.keys, args, self._reader(task_type, _second))

    def heartbeat_call(self, task_type: str, leases: Iterable[tuple[str, int]]) -> Call:
        """Extend at most ``BATCH_MAX`` leases, each a (task id, delivery). Replies a ``Beat`` for each."""
        args: list[Argument] = [self._lease_ms]
        for lease in leases:
            args += lease
        meta, records, _, leased = self._layout(task_type).keys[:4]
        return Call("heartbeat", (meta, records, leased), args, _beats)

    def lend_call(self, task_type: str, loans: Sequence[Loan]) -> Call:
        """Lend at most ``BATCH_MAX`` tasks, or change the time they are lent for. Replies a ``Beat`` for each, or
        ``RELEARNED``: CANCELLED is forgotten and its slot free; LEASED is not lent but with a worker that keeps it, LOST
        is somebody else's or nobody's, both unchanged.
        """
        layout = self._layout(task_type)
        args: list[Argument] = [layout.version]
        for loan in loans:
            args += loan
        return Call("lend", layout.keys, args, self._reader(task_type, _loans))

    def remove_call(self, task_type: str, task_ids: Sequence[str]) -> Call:
        """Take at most ``BATCH_MAX`` cancelled tasks out. Replies ``Removed`` or ``RELEARNED``. Durable."""
        layout = self._layout(task_type)
        return Call(
            "remove_task", layout.keys, (layout.version, *task_ids), self._reader(task_type, _removed), durable=True
        )

    def expedite_call(self, task_type: str, task_ids: Sequence[str]) -> Call:
        """Let at most ``BATCH_MAX`` delayed tasks be claimed now. Replies how many were moved, or ``RELEARNED``."""
        layout = self._layout(task_type)
        return Call(
            "expedite", layout.keys, (layout.version, *task_ids), self._reader(task_type, _second), durable=True
        )

    def set_limits_call(self, task_type: str, limits: Limits | None = None, is_paused: bool | None = None) -> Call:
        """Write the limits, and pause or resume; ``None`` leaves what is there.

        Replies ``True``, or ``False`` when newer limits are there already (then nothing is changed), or ``RELEARNED``.
        """
        layout = self._layout(task_type)
        paused = "" if is_paused is None else str(int(is_paused))
        args: tuple[Argument, ...] = (layout.version, *_words(limits), paused)
        if layout.is_keyed:
            args += (_is_per_key(limits),)
        elif limits is not None and limits.per_key:
            return self._key_queue(task_type)
        return Call("set_limits", layout.keys, args, self._reader(task_type, _is_ok))

    def stats_call(self, task_type: str) -> Call:
        """Look at the queue: ``QueueStats`` or ``RELEARNED``. Reads only."""
        layout = self._layout(task_type)
        return Call("queue_stats", layout.keys, (layout.version,), self._reader(task_type, read_stats))

    def limited_call(self, task_type: str, task_id: str) -> Call:
        """For how many ms a queued task has waited for the limits and not for a worker (D7); 0 if it is not queued."""
        layout = self._layout(task_type)
        meta, records, _, leases, held, tokens = layout.keys[:6]
        keyed = (self._keys.task_keys(task_type),) if layout.is_keyed else ()
        return Call("limited_ms", (meta, records, leases, held, tokens, *keyed), (task_id,))

    def missing_command(self, task_type: str, task_ids: Sequence[str]) -> Command:
        """Which of these tasks the queue does not know, in the same order: what the sweep has to re-offer (D26)."""

        def missing(raw: list[Any]) -> list[str]:
            return [task_id for task_id, record in zip(task_ids, raw, strict=True) if record is None]

        return Command(("HMGET", self._keys.records(task_type), *task_ids), missing)

    def wake_key(self, task_type: str, domain: str | None = None) -> str | None:
        """The list a registered claimant blocks on (BLPOP); ``None`` while the domain is not known: claim first.

        A token is a lease already given (``read_grant``) or a hint to claim again; either may be late, lost or one
        too many, and a lease that nobody takes comes back when it ends.
        """
        layout = self._layout(task_type)
        index = layout.indexes.get(domain)
        return None if index is None else layout.keys[8 + 3 * index]

    def _layout(self, task_type: str) -> _Layout:
        layout = self._layouts.get(task_type)
        return self._lay_out(task_type, "0", {None: 0}) if layout is None else layout

    def _lay_out(self, task_type: str, version: str, indexes: dict[str | None, int]) -> _Layout:
        keys = self._keys
        domains = range(len(indexes))
        shared = (
            keys.queue_meta(task_type),
            keys.records(task_type),
            keys.delayed(task_type),
            keys.leases(task_type),
            keys.held(task_type),
            keys.tokens(task_type),
        )
        by_domain = (
            key
            for index in domains
            for key in (
                keys.ready(task_type, index),
                keys.waiters(task_type, index),
                keys.wakes(task_type, index),
            )
        )
        is_keyed = version.endswith("k")
        keyed = self._keyed_names(task_type, len(indexes)) if is_keyed else ()
        layout = self._layouts[task_type] = _Layout(version, is_keyed, indexes, (*shared, *by_domain, *keyed))
        return layout

    def _ensure_domain(self, task_type: str, domain: str | None) -> Call:
        def learned(raw: list[Any]) -> Relearned:
            if raw[0] == b"FULL":
                raise Conflict(
                    f"task type {task_type!r} has {DOMAINS_MAX} domains already; domain {domain!r} was not added: "
                    "use one of the existing domains"
                )
            return self._learn(task_type, raw)

        return Call("ensure_domain", self._layout(task_type).keys[:1], (domain or "", DOMAINS_MAX), learned)

    def _key_queue(self, task_type: str) -> Call:
        layout = self._layout(task_type)
        names = (*layout.keys, *self._keyed_names(task_type, len(layout.indexes)))
        return Call("key_queue", names, (layout.version,), lambda raw: self._learn(task_type, raw))

    def _keyed_names(self, task_type: str, domains: int) -> tuple[str, ...]:
        keys = self._keys
        names = (keys.task_keys, keys.key_uses, keys.kept_back, keys.key_tokens)
        return (*(name(task_type) for name in names), *(keys.turns(task_type, index) for index in range(domains)))

    def _reader(self, task_type: str, read: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
        def reply(raw: list[Any]) -> Any:
            return self._learn(task_type, raw) if raw[0] == b"DOMAINS" else read(raw)

        return reply

    def _learn(self, task_type: str, raw: list[Any]) -> Relearned:
        indexes: dict[str | None, int] = {None: 0}
        indexes |= {raw[at].decode(): int(raw[at + 1]) for at in range(2, len(raw), 2)}
        self._lay_out(task_type, raw[1].decode(), indexes)
        return RELEARNED


def _second(raw: list[Any]) -> int:
    return int(raw[1])


def _is_ok(raw: list[Any]) -> bool:
    return bool(raw[0] == b"OK")


def _removed(raw: list[Any]) -> Removed:
    return Removed(raw[1], raw[2])


def _loans(raw: list[Any]) -> list[Beat]:
    return _beats(raw[1:])


def _beats(raw: list[Any]) -> list[Beat]:
    return [Beat(word.decode()) for word in raw]
