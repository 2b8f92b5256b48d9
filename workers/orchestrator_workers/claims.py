"""Claims tasks for free slots, all types in one round trip, and gives leases back on the same occasion.

The loop: while there are free slots, ask the queues that are due for as many tasks as fit. A queue that has less puts
the worker on its list of waiters: what comes next is handed to a waiter along with its wake-up, or the queue is asked
again when a wake-up says so or after its own hint, at the latest after 2 s. A queue's limits are the queue's business;
what is asked for here is only what could start at once, because a claimed task holds a slot and spends a rate token.
Called by the worker, which runs what comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from orchestrator.clock import Clock
from orchestrator.errors import Unavailable
from orchestrator.plan import Command
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Claimed, Release, Want
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.queue_values import HINT, read_grant
from orchestrator.store.queue_values import Release as How
from orchestrator_workers.job import Jobs
from orchestrator_workers.pauses import Backoff, Bell

log = logging.getLogger("orchestrator.worker")

HINT_MAX_S = 2.0
TURN_S_MAX = 10.0  # also a worker whose slots are all taken shows that it goes on
CLAIM_MAX = 100  # the most that one claim of one queue grants
SETTLE_PAUSE_S = 0.002  # how long a lease to give back waits for a free slot, so that it goes with a claim
SETTLE_LATER_S = 0.02  # how long it waits for others when nobody can be waiting for it
CLOCK_SLACK_S = 1.0  # a hand-over that seems to be from further ahead shows that the queue's clock was put forward
_WAIT_MS = 2_500  # a little longer than the time to the next claim, so that a waiting worker stays registered


class Source:
    """One queue that the worker claims from.

    ``appetite`` follows what the queue gave lately; ``due_s`` is when to look at it again, on the worker's clock;
    ``epoch_s`` is when the queue's clock stood at 0, at the earliest, on that clock too; ``is_limited`` as it said last.
    """

    __slots__ = ("appetite", "domain", "due_s", "epoch_s", "is_limited", "type")

    def __init__(self, type: str, domain: str | None) -> None:
        self.type = type
        self.domain = domain
        self.appetite = 1
        self.due_s = 0.0
        self.epoch_s = float("-inf")
        self.is_limited = True


class Leased(NamedTuple):
    """A task that may start; its lease was given at ``leased_s`` at the earliest, on the worker's clock."""

    claimed: Claimed
    leased_s: float


class Claims:
    """The claim loop of one worker. ``launch`` gets what was claimed or handed over, each in a slot of its own.

    A lease is ``lease_ms`` long, one that is handed over at most ``lease_ms_max``.
    """

    def __init__(
        self,
        store: StoreContext,
        executor: AsyncExecutor,
        jobs: Jobs,
        claimant: str,
        lease_ms: int,
        lease_ms_max: int,
        sources: Sequence[Source],
        clock: Clock,
        launch: Callable[[list[Leased]], Awaitable[None]],
        idle: Callable[[bool], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._store = store
        self._executor = executor
        self._jobs = jobs
        self._claimant = claimant
        self._lease_s = lease_ms / 1000
        self._lease_s_max = lease_ms_max / 1000
        self._sources = sources
        self._now_s = clock.monotonic_s
        self._launch = launch
        self._idle = idle
        self._on_turn = on_turn
        self._releases: list[Release] = []
        self._handed: list[Leased] = []
        self._early: list[Leased] = []  # handed over while a claim held all free slots: its answer may leave some
        self._hinted: set[str] = set()  # task types of hints that no claim has followed yet
        self._is_asking = False
        self._bell = Bell()
        self._backoff = Backoff()
        self._turn = 0
        self._settle_by_s = 0.0
        self._is_stopped = False
        self.is_paused = False
        self.settling = 0  # releases on their way

    @property
    def is_claiming(self) -> bool:
        """Whether tasks are taken at all."""
        return not (self._is_stopped or self.is_paused)

    @property
    def unsettled(self) -> int:
        """How many leases are still to be given back."""
        return len(self._releases) + self.settling

    def settle(self, release: Release) -> None:
        """Give a lease back with the next claim, which is soon."""
        pause_s = SETTLE_LATER_S if self.is_claiming else 0.0
        if self.is_claiming and self._is_awaited(release):
            pause_s = 0.0 if self._jobs.free > 0 else SETTLE_PAUSE_S
        by_s = self._now_s() + pause_s
        if not self._releases or by_s < self._settle_by_s:
            self._settle_by_s = by_s
        self._releases.append(release)
        self._bell.ring()

    def _is_awaited(self, release: Release) -> bool:
        """Whether somebody may wait for what this gives back: a task, or a slot of a queue with limits."""
        source = self._source(release.type)
        return release.settlement.release is How.BACK or source is None or source.is_limited

    def _source(self, task_type: str) -> Source | None:
        return next((source for source in self._sources if source.type == task_type), None)

    def slot_freed(self) -> None:
        """A task has returned."""
        self._bell.ring()

    def woken(self, task_type: str, token: bytes) -> bool:
        """A task of this type was handed over, or there may be one; whether the token was of use.

        Until that task has been let begin nobody listens: what it needs from the store goes first.
        """
        grant = read_grant(token)
        source = self._source(task_type)
        if grant is None:
            return source is not None and self._look_at(source)
        claimed = Claimed(grant.task_id, task_type, grant.delivery, grant.offer)
        leased_s = self._leased_s(source, grant.until_ms) if source is not None and self.is_claiming else None
        if leased_s is None or not (self._jobs.free > 0 or self._is_asking):
            self.settle(dispatch.release(claimed, How.BACK))
        elif self._jobs.free > 0:
            self._take(Leased(claimed, leased_s))
        else:
            self._early.append(Leased(claimed, leased_s))
        return True

    def _look_at(self, source: Source) -> bool:
        """There may be a task: ask this queue now, if anything could start."""
        if not self._has_room:
            return False
        source.due_s = 0.0
        self._hinted.add(source.type)
        self._ring()
        return True

    def _leased_s(self, source: Source, until_ms: int) -> float | None:
        """When a task was handed over, at the earliest; None when its lease may be over or nobody can tell."""
        now_s, ends_s = self._now_s(), source.epoch_s + until_ms / 1000
        if not now_s < ends_s <= now_s + self._lease_s_max + CLOCK_SLACK_S:
            return None
        return min(now_s, ends_s - self._lease_s)

    def _take(self, leased: Leased) -> None:
        self._handed.append(leased)
        self._jobs.reserve(1)
        self._ring()

    def _take_early(self) -> None:
        """A claim has been answered: start what was handed over meanwhile, as far as there is room."""
        early, self._early = self._early, []
        for leased in early:
            if self.is_claiming and self._jobs.free > 0:
                self._take(leased)
            else:
                self.settle(dispatch.release(leased.claimed, How.BACK))

    def _ring(self) -> None:
        self._idle(False)
        self._bell.ring()

    def stop(self) -> None:
        """Claim nothing more; leases are still given back."""
        self._is_stopped = True
        self._settle_by_s = self._now_s()
        self._idle(False)
        self._bell.ring()

    def pause(self, is_paused: bool) -> None:
        """Claim nothing until told otherwise, or claim again."""
        self.is_paused = is_paused
        for source in self._sources:
            source.due_s = 0.0
        self._ring()

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            self._on_turn()
            wait_s = self._due_in()
            if wait_s == 0:
                try:
                    await self.run_once()
                except Unavailable as error:
                    log.warning("claim_failed", extra={"reason": str(error)})
                    await asyncio.sleep(self._backoff.next_s())
            else:
                await self._bell.wait(TURN_S_MAX if wait_s is None else min(wait_s, TURN_S_MAX))

    async def run_once(self) -> int:
        """Start what was handed over; or one round trip: give back, claim, then start what was granted.

        Gives the number of tasks granted.
        """
        if self._handed:
            handed, self._handed = self._handed, []
            await self._launch(handed)
            return len(handed)
        if self._hinted and not self._has_room:
            await self._pass_on_hints()
            return 0
        settle, self._releases = self._releases, []
        wants = self._wants()
        asked = sum(want.tasks_max for want in wants)
        self.settling = len(settle)
        sent_s, granted = self._now_s(), 0
        if asked:
            self._idle(False)  # a hint that comes meanwhile is for whoever has a slot to claim for
        self._jobs.reserve(asked)
        self._is_asking = True
        try:
            reply = await self._executor.run(
                dispatch.claim_tasks(self._store, wants, self._claimant, wait_ms=_WAIT_MS, settle=settle)
            )
            self._learn(wants, settle, reply, sent_s)
            settle, granted = reply.unsettled, len(reply.claimed)
        finally:
            self._releases[:0] = settle
            self.settling = 0
            self._is_asking = False
            self._jobs.cancel(asked - granted)
            self._take_early()
        if granted:
            await self._launch([Leased(claimed, sent_s) for claimed in reply.claimed])
        return granted

    @property
    def _has_room(self) -> bool:
        return self.is_claiming and self._jobs.free > 0

    async def _pass_on_hints(self) -> None:
        """The slot that a hint was taken for is taken: somebody else may have one."""
        hinted, self._hinted = self._hinted, set()
        sources = [source for source in self._sources if source.type in hinted]
        lists = [self._store.queues.wake_key(source.type, source.domain) for source in sources]
        await self._executor.do([Command(("LPUSH", name, HINT)) for name in lists if name is not None])

    def _due_in(self) -> float | None:
        """Seconds until the next round trip: 0 = now, None = when a slot is free."""
        if self._handed:
            return 0.0
        if self._has_room:
            self._idle(True)
            due_s = min(source.due_s for source in self._sources)
            if self._releases:
                due_s = min(due_s, self._settle_by_s)
            return max(0.0, due_s - self._now_s())
        self._idle(False)
        if self._hinted:
            return 0.0
        return max(0.0, self._settle_by_s - self._now_s()) if self._releases else None

    def _wants(self) -> list[Want]:
        """What to ask of the queues that are due; the others have this worker on their list of waiters."""
        now_s = self._now_s()
        sources = [source for source in self._sources if source.due_s <= now_s]
        if not self._has_room or not sources:
            return []
        self._turn += 1
        wants = share(self._jobs.free, sources, self._turn)
        self._hinted -= {want.type for want in wants}
        return wants

    def _learn(self, wants: list[Want], settled: list[Release], reply: dispatch.ClaimReply, sent_s: float) -> None:
        """When to look at each queue again, and how much to ask of it then.

        A queue that gave all that was asked may have more. One that gave less has nothing now and has noted that this
        worker waits: it is asked again when it sends a wake-up, or after its own hint.
        """
        for task_type, failure in reply.failures.items():
            log.warning("queue_refused", extra={"task_type": task_type, "reason": str(failure)})
        now_s = self._now_s()
        if reply.unsettled:
            log.warning("settle_refused", extra={"tasks": len(reply.unsettled)})
            self._settle_by_s = now_s + self._backoff.next_s()
        else:
            self._backoff.reset()
        granted: dict[str, int] = {}
        for claimed in reply.claimed:
            granted[claimed.type] = granted.get(claimed.type, 0) + 1
        asked = {want.type: want.tasks_max for want in wants}
        for source in self._sources:
            if source.type not in asked:
                continue
            got = granted.get(source.type, 0)
            is_full = got == asked[source.type]
            source.appetite = max(1, 2 * got if is_full else got)
            news = reply.queues.get(source.type)
            hint_s = 1.0 if news is None else news.hint_ms / 1_000
            is_due = is_full or source.type in self._hinted
            source.due_s = 0.0 if is_due else now_s + min(HINT_MAX_S, hint_s)
            if news is not None:
                source.epoch_s, source.is_limited = sent_s - news.now_ms / 1_000, news.is_limited
        for release in settled:
            held = self._source(release.type) if release.settlement.release is How.HOLD else None
            if held is not None:  # given back by itself, it is in no claim's hint
                held.due_s = min(held.due_s, now_s + release.settlement.delay_ms / 1_000)


def share(free: int, sources: Sequence[Source], turn: int) -> list[Want]:
    """``free`` slots over the queues: one for each in turn, then by appetite, what is left evenly.

    Never more than ``free`` in all: a task that cannot start at once would hold its lease for nothing.
    """
    count = len(sources)
    if count == 1:
        return [Want(sources[0].type, sources[0].domain, min(free, CLAIM_MAX))]
    order = [sources[(turn + index) % count] for index in range(min(free, count))]
    shares = [1] * len(order)
    left = free - len(order)
    for index, source in enumerate(order):
        more = min(left, source.appetite - 1)
        shares[index] += more
        left -= more
    each, odd = divmod(left, len(order))
    return [
        Want(source.type, source.domain, min(share + each + (index < odd), CLAIM_MAX))
        for index, (source, share) in enumerate(zip(order, shares, strict=True))
    ]
