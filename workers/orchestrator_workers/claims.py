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

from orchestrator.clock import Clock
from orchestrator.errors import Unavailable
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Claimed, Release, Want
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.queue_values import Release as How
from orchestrator.store.queue_values import read_grant
from orchestrator_workers.job import Jobs
from orchestrator_workers.pauses import Backoff, Bell

log = logging.getLogger("orchestrator.worker")

HINT_MAX_S = 2.0
CLAIM_MAX = 100  # the most that one claim of one queue grants
SETTLE_PAUSE_S = 0.002  # how long a lease to give back waits for a free slot, so that it goes with a claim
SETTLE_LATER_S = 0.02  # how long it waits for others when nobody can be waiting for it
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


class Claims:
    """The claim loop of one worker. ``launch`` gets what was claimed and when the claim was sent."""

    def __init__(
        self,
        store: StoreContext,
        executor: AsyncExecutor,
        jobs: Jobs,
        claimant: str,
        lease_ms: int,
        sources: Sequence[Source],
        clock: Clock,
        launch: Callable[[list[Claimed], float], Awaitable[None]],
        idle: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._executor = executor
        self._jobs = jobs
        self._claimant = claimant
        self._lease_ms = lease_ms
        self._sources = sources
        self._now_s = clock.monotonic_s
        self._launch = launch
        self._idle = idle
        self._releases: list[Release] = []
        self._handed: list[Claimed] = []
        self._handed_s = 0.0  # when the first of them was leased, at the earliest
        self._bell = Bell()
        self._backoff = Backoff()
        self._turn = 0
        self._settle_by_s = 0.0
        self.is_claiming = True
        self.settling = 0  # releases on their way

    @property
    def unsettled(self) -> int:
        """How many leases are still to be given back."""
        return len(self._releases) + self.settling

    def settle(self, release: Release) -> None:
        """Give a lease back with the next claim, which is soon."""
        pause_s = SETTLE_LATER_S
        if self._is_awaited(release):
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
        has_room = self.is_claiming and self._jobs.free > 0
        source = self._source(task_type)
        if grant is None:
            if source is not None and has_room:
                source.due_s = 0.0
                self._ring()
            return has_room
        claimed = Claimed(grant.task_id, task_type, grant.delivery, grant.offer)
        if source is None or not has_room or not self._take(source, claimed, grant.until_ms):
            self.settle(dispatch.release(claimed, How.BACK))
        return True

    def _take(self, source: Source, claimed: Claimed, until_ms: int) -> bool:
        """Start a task that was handed over, unless its lease may be over by now."""
        now_s = self._now_s()
        leased_s = min(now_s, source.epoch_s + (until_ms - self._lease_ms) / 1000)
        if leased_s + self._lease_ms / 1000 <= now_s:
            return False
        self._handed_s = min(self._handed_s, leased_s) if self._handed else leased_s
        self._handed.append(claimed)
        self._jobs.reserve(1)
        self._ring()
        return True

    def _ring(self) -> None:
        self._idle(False)
        self._bell.ring()

    def stop(self) -> None:
        """Claim nothing more; leases are still given back."""
        self.is_claiming = False
        self._idle(False)
        self._bell.ring()

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            wait_s = self._due_in()
            if wait_s == 0:
                try:
                    await self.run_once()
                except Unavailable as error:
                    log.warning("claim_failed", extra={"reason": str(error)})
                    await asyncio.sleep(self._backoff.next_s())
            else:
                await self._bell.wait(wait_s)

    async def run_once(self) -> int:
        """Start what was handed over; or one round trip: give back, claim, then start what was granted.

        Gives the number of tasks granted.
        """
        if self._handed:
            handed, self._handed = self._handed, []
            await self._launch(handed, self._handed_s)
            return len(handed)
        settle, self._releases = self._releases, []
        wants = self._wants()
        asked = sum(want.tasks_max for want in wants)
        self.settling = len(settle)
        self._jobs.reserve(asked)
        sent_s, granted = self._now_s(), 0
        try:
            reply = await self._executor.run(
                dispatch.claim_tasks(self._store, wants, self._claimant, wait_ms=_WAIT_MS, settle=settle)
            )
            settle, granted = reply.unsettled, len(reply.claimed)
        finally:
            self._releases[:0] = settle
            self.settling = 0
            self._jobs.cancel(asked - granted)
        self._learn(wants, reply, sent_s)
        if granted:
            await self._launch(reply.claimed, sent_s)
        return granted

    def _due_in(self) -> float | None:
        """Seconds until the next round trip: 0 = now, None = when a slot is free."""
        if self._handed:
            return 0.0
        if self.is_claiming and self._jobs.free > 0:
            self._idle(True)
            due_s = min(source.due_s for source in self._sources)
            if self._releases:
                due_s = min(due_s, self._settle_by_s)
            return max(0.0, due_s - self._now_s())
        self._idle(False)
        if not self._releases:
            return None
        return max(0.0, self._settle_by_s - self._now_s()) if self.is_claiming else 0.0

    def _wants(self) -> list[Want]:
        """What to ask of the queues that are due; the others have this worker on their list of waiters."""
        now_s = self._now_s()
        sources = [source for source in self._sources if source.due_s <= now_s]
        if not self.is_claiming or self._jobs.free <= 0 or not sources:
            return []
        self._turn += 1
        return share(self._jobs.free, sources, self._turn)

    def _learn(self, wants: list[Want], reply: dispatch.ClaimReply, sent_s: float) -> None:
        """When to look at each queue again, and how much to ask of it then.

        A queue that gave all that was asked may have more. One that gave less has nothing now and has noted that this
        worker waits: it is asked again when it sends a wake-up, or after its own hint.
        """
        self._backoff.reset()
        for task_type, failure in reply.failures.items():
            log.warning("queue_refused", extra={"task_type": task_type, "reason": str(failure)})
        granted: dict[str, int] = {}
        for claimed in reply.claimed:
            granted[claimed.type] = granted.get(claimed.type, 0) + 1
        asked = {want.type: want.tasks_max for want in wants}
        now_s = self._now_s()
        for source in self._sources:
            if source.type not in asked:
                continue
            got = granted.get(source.type, 0)
            is_full = got == asked[source.type]
            source.appetite = max(1, 2 * got if is_full else got)
            news = reply.queues.get(source.type)
            hint_s = 1.0 if news is None else news.hint_ms / 1_000
            source.due_s = 0.0 if is_full else now_s + min(HINT_MAX_S, hint_s)
            if news is not None:
                source.epoch_s, source.is_limited = sent_s - news.now_ms / 1_000, news.is_limited


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
