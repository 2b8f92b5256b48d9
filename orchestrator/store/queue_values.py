"""What goes into a queue's scripts and what comes out of them, as values. No keys, no calls, no I/O.

Times are ms on the queue slot's own clock: never compare them with a time of another slot, pass durations instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, NamedTuple

HINT = b"1"
"""The wake-up token that only says that there may be a task to claim."""

ORDER_PER_MS = 4096  # D24: scores are ms times this, plus a sequence, so that equals leave in the order they came


class Relearned(Enum):
    """The queue's list of domains was old and is now known: build the call again."""

    RELEARNED = "RELEARNED"


RELEARNED = Relearned.RELEARNED


class Offer(NamedTuple):
    """One task to make claimable, after ``delay_ms``; a larger ``priority`` leaves earlier.

    ``keys`` is what it shares the workers by, as ``core.sharing`` writes it; empty where tasks have no keys.
    """

    task_id: str
    domain: str | None = None
    priority: int = 0
    delay_ms: int = 0
    keys: str = ""


class Limits(NamedTuple):
    """The limits of a queue; 0 = unlimited. ``revision`` is that of the task definition they come from: older ones are
    never written over newer ones. ``rate`` grants in any ``window_ms``; a token stays away ``guard_ms`` longer.

    ``per_key``: they hold for each key of the tasks, not for all together.
    """

    revision: int
    concurrency: int = 0
    rate: int = 0
    window_ms: int = 1000
    guard_ms: int = 5
    per_key: bool = False


class Ask(NamedTuple):
    """What a claimant wants of one queue: up to ``tasks_max`` (at most 100) tasks of ``domain``, each under a lease.

    With ``wait_ms`` a claimant that gets nothing is registered for a wake-up for that long.
    """

    task_type: str
    claimant: str
    tasks_max: int = 1
    domain: str | None = None
    wait_ms: int = 0


class Claimed(NamedTuple):
    """One lease. ``is_lost``: it was delivered too often without an answer; report it as failed, do not run it."""

    task_id: str
    delivery: int
    offer: int
    is_lost: bool


class Claim(NamedTuple):
    """The answer to an ``Ask``. Nothing changes by itself before ``hint_ms`` from now (2,000 = nothing is known).

    ``is_limited``: somebody may wait for a lease of this queue to be given back.
    """

    now_ms: int
    hint_ms: int
    is_limited: bool
    tasks: list[Claimed]


class Grant(NamedTuple):
    """A lease that a waiting claimant is given along with its wake-up; ``until_ms`` is when it ends."""

    task_id: str
    delivery: int
    offer: int
    until_ms: int


class Release(StrEnum):
    """How a lease is given back."""

    DONE = "done"  # the partition has the outcome, or knows no such task: forget it, unless it was offered anew
    BACK = "back"  # unfinished: another worker takes it at once, in its old place
    HOLD = "hold"  # in progress, to be called back after a delay; the concurrency slot stays taken


class Settlement(NamedTuple):
    """One lease to give back, quoting what it was claimed under."""

    release: Release
    task_id: str
    delivery: int
    offer: int
    delay_ms: int = 0


class Lend(StrEnum):
    """What becomes of a task whose worker sends no heartbeats. It keeps its concurrency slot in each case."""

    OUT = (
        "out"  # a leased one goes to such a worker: it comes back after a time, to its old place, unless more is heard
    )
    LONGER = "longer"  # it is still at work: the time begins anew
    LATER = "later"  # in progress, to be called back after a delay
    BACK = "back"  # leased or lent, and never seen by a worker: another one takes it at once, in its old place


class Loan(NamedTuple):
    """One task to lend, or that is lent, under the number of its delivery."""

    lend: Lend
    task_id: str
    delivery: int
    delay_ms: int = 0


class Beat(StrEnum):
    """The answer to a heartbeat of one lease, and to a loan."""

    OK = "OK"
    CANCELLED = "CANCELLED"  # the lease is extended, but the task is no longer wanted: stop and give it back
    LEASED = "LEASED"  # to a loan only: its worker has a lease and keeps it
    LOST = "LOST"  # somebody else has it or nobody wants it: stop at once


class Removed(NamedTuple):
    """How many tasks left the queue at once, and how many are marked because a worker holds them."""

    removed: int
    marked: int


class DomainStats(NamedTuple):
    """One domain of a queue; ``head_since_ms`` is when the task at the head became due, ``None`` in an empty domain."""

    ready: int
    waiting: int
    head_since_ms: int | None


class QueueStats(NamedTuple):
    """One look at a queue. ``spent``: rate tokens not yet back; ``granted``, ``expired``: counts from the beginning.

    ``kept``: tasks that are kept back because their key is at its limit; they are not among the ready ones.
    """

    now_ms: int
    delayed: int
    leased: int
    held: int
    spent: int
    granted: int
    expired: int
    limits: Limits | None
    is_paused: bool
    limited_since_ms: int | None
    limited_ms: int
    domains: dict[str | None, DomainStats]
    kept: int = 0

    @property
    def ready(self) -> int:
        """Tasks ready in all domains."""
        return sum(domain.ready for domain in self.domains.values())

    def admissible(self, horizon_ms: int) -> int:
        """How many of the ready tasks the limits would let begin within ``horizon_ms``, were there workers for them."""
        if self.is_paused or self.limits is None or self.limits.per_key:
            return 0 if self.is_paused else self.ready
        bounds = [self.ready]
        if self.limits.concurrency:
            bounds.append(self.limits.concurrency - self.leased - self.held)
        if self.limits.rate:
            windows = max(1.0, horizon_ms / self.limits.window_ms)
            bounds.append(int(self.limits.rate * windows) - self.spent)
        return max(0, min(bounds))


def read_grant(token: bytes) -> Grant | None:
    """The lease in a wake-up token; ``None`` when it is only a hint to claim."""
    words = token.decode().split()
    return Grant(words[0], int(words[1]), int(words[2]), int(words[3])) if len(words) == 4 else None


def read_claim(raw: list[Any]) -> Claim:
    """The decoded answer of the script claim."""
    tasks = [Claimed(raw[at].decode(), raw[at + 1], int(raw[at + 2]), raw[at + 3] == 1) for at in range(4, len(raw), 4)]
    return Claim(raw[1], raw[2], raw[3] == 1, tasks)


def read_stats(raw: list[Any]) -> QueueStats:
    """The decoded answer of the script queue_stats."""
    now_ms, delayed, leased, held, spent, kept, fields, *counts = raw[1:]
    meta = {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
    names: dict[int, str | None] = {0: None}
    names |= {int(value): name[4:] for name, value in meta.items() if name.startswith("dom:")}
    domains = {
        names[index]: DomainStats(ready, waiting, int(head.split()[4]) // ORDER_PER_MS if head else None)
        for index, (ready, waiting, head) in enumerate(zip(counts[::3], counts[1::3], counts[2::3], strict=True))
    }
    since = meta.get("lim_since")
    return QueueStats(
        now_ms,
        delayed,
        leased,
        held,
        spent,
        int(meta.get("granted", 0)),
        int(meta.get("expired", 0)),
        _limits(meta),
        "paused" in meta,
        None if since is None else int(since),
        int(meta.get("lim_total", 0)),
        domains,
        kept,
    )


def _limits(meta: Mapping[str, Any]) -> Limits | None:
    if "lrev" not in meta:
        return None
    revision, concurrency, rate, window_ms, guard_ms = (
        int(meta[field]) for field in ("lrev", "conc", "rate", "window_ms", "guard_ms")
    )
    of_each = int(meta.get("kconc", 0)), int(meta.get("krate", 0))
    if any(of_each):
        return Limits(revision, *of_each, window_ms, guard_ms, per_key=True)
    return Limits(revision, concurrency, rate, window_ms, guard_ms)
