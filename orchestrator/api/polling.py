"""Where workers' polls wait: one line per task type and domain claims for all polls that stand in it.

A line asks its queue once and has itself noted as waiting; from then on a poll that finds nothing costs Redis nothing.
A wake-up brings a task along, or makes the line claim as many as its polls have room for; they get them in turn, the
longest waiting first. What was claimed for a poll is handed out by the poll itself; what its caller does not live to receive
goes back to the queue at once. Called by the routes of ``tasks``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from orchestrator.api.wakeups import Wakeups
from orchestrator.client.sessions import AsyncSession
from orchestrator.clock import SystemClock
from orchestrator.errors import InvalidRequest, OrchestratorError
from orchestrator.model.execution import Task
from orchestrator.service import dispatch, lending, poll_data
from orchestrator.service.dispatch import Claimed, Want
from orchestrator.store.queue_values import read_grant

log = logging.getLogger(__name__)

TIMEOUT_MS_MAX = 5_000
CLAIM_MAX = 100  # the most that one claim of a queue grants
HINT_MAX_S = 2.0
WAIT_MS = 2_500  # a little longer than the time to the next claim, so that a line with polls in it stays noted
KEEP_S = 0.05  # for so long after the last poll the next one is expected, and what is handed over is kept for it
GIVE_BACK_PAUSE_MIN_S = 0.1
GIVE_BACK_PAUSE_MAX_S = 15.0

Place = tuple[str, str | None]
"""A task type and a domain."""

Gone = Callable[[], Awaitable[None]]
"""Waits until the caller has gone."""


class Polls:
    """All polls of one app. Belongs to one event loop.

    Example: ``await polls.wait("charge", None, "host-1", count=5, timeout_ms=100, gone=visit.gone)``
    """

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.claimant = f"server-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.wakeups = Wakeups(session)
        self.clock = SystemClock()
        self.steps = lending.Steps()
        self._lines: dict[Place, Line] = {}
        self._seen: dict[Place, poll_data.Seen] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._noting: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def lines(self) -> list[Place]:
        """The queues that are claimed from at present."""
        return list(self._lines)

    async def wait(
        self, task_type: str, domain: str | None, worker: str, *, count: int, timeout_ms: int, gone: Gone
    ) -> list[Task]:
        """Up to ``count`` tasks, as soon as there is any, or none after ``timeout_ms``; each is lent to ``worker``.

        None is claimed for a caller that has gone. Raises ``InvalidRequest`` for a longer wait than 5 s.
        """
        if timeout_ms > TIMEOUT_MS_MAX:
            raise InvalidRequest("Long Poll Timeout value cannot be more than 5 seconds")
        self._note(task_type, domain, worker)
        leaving = asyncio.ensure_future(gone())
        try:
            claimed = await self._line(task_type, domain).stand(max(1, count), max(0, timeout_ms) / 1000, leaving)
            return await self._hand_out(claimed, worker, leaving) if claimed else []
        finally:
            leaving.cancel()

    async def close(self) -> None:
        """End every line and give back what nobody received."""
        if self._noting is not None:
            self._noting.cancel()
        await self.wakeups.close()
        await asyncio.gather(*[line.end() for line in self._lines.values()])
        self._closing.set()
        await asyncio.gather(*self._errands)

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Let others have tasks that nobody has received, in the background and through an outage of the store."""
        if not claimed:
            return
        errand = asyncio.get_running_loop().create_task(self._give_back(claimed))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    def forget(self, place: Place) -> None:
        """A line in which nobody has stood for a while has ended."""
        self._lines.pop(place, None)

    def _line(self, task_type: str, domain: str | None) -> Line:
        place = (task_type, domain)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = Line(self, place)
        return line

    async def _hand_out(self, claimed: Sequence[Claimed], worker: str, leaving: asyncio.Future[None]) -> list[Task]:
        store, run = self.session.store, self.session.run
        try:
            lent = await run(lending.hand_out(store, claimed, worker))
            shown = await run(lending.show(store, lent, self.steps, worker))
        except BaseException:
            self.give_back(claimed)
            raise
        if leaving.done():
            self.give_back([one.run.claimed for one in lent])
            return []
        return shown

    async def _give_back(self, claimed: Sequence[Claimed]) -> None:
        """Try until it works, or once more when the server ends: a lent task that stays out may be out for hours."""
        pause_s = GIVE_BACK_PAUSE_MIN_S
        while True:
            is_last = self._closing.is_set()
            try:
                await self.session.run(lending.hand_back(self.session.store, claimed))
                return
            except OrchestratorError as error:
                log.warning("give_back_failed", extra={"tasks": len(claimed), "reason": str(error)})
            if is_last:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closing.wait()
            pause_s = min(2 * pause_s, GIVE_BACK_PAUSE_MAX_S)

    # --- who polled last ----------------------------------------------------------------------------------------------

    def _note(self, task_type: str, domain: str | None, worker: str) -> None:
        self._seen[task_type, domain] = poll_data.Seen(worker, self.clock.monotonic_s())
        if self._noting is None or self._noting.done():
            self._noting = asyncio.get_running_loop().create_task(self._write_notes())

    async def _write_notes(self) -> None:
        """Tell the store who polled, at once and then every few seconds for as long as somebody does."""
        while self._seen:
            seen, self._seen = self._seen, {}
            with contextlib.suppress(OrchestratorError):
                await self.session.run(poll_data.write(self.session.store, seen, self.clock.monotonic_s()))
            await asyncio.sleep(poll_data.WRITE_EVERY_S)


class Poll:
    """One poll in a line; ``is_late``: its time is over, and it stays only to hear what is being claimed."""

    __slots__ = ("claimed", "count", "is_late")

    def __init__(self, count: int) -> None:
        self.count = count
        self.is_late = False
        self.claimed: asyncio.Future[list[Claimed]] = asyncio.get_running_loop().create_future()


class Line:
    """The polls of one queue, and the loop that claims for them; it ends some time after the last poll has left."""

    def __init__(self, polls: Polls, place: Place) -> None:
        self._polls = polls
        self._place = place
        self._waiting: deque[Poll] = deque()
        self._stir = asyncio.Event()
        self._now_s = polls.clock.monotonic_s
        self._due_s = 0.0  # when to look at the queue again
        self._noted_s = 0.0  # until when the queue knows that somebody waits here
        self._kept: list[Claimed] = []  # handed over when nobody stood here: the next poll is often on its way
        self._left_s = -math.inf  # when the last poll left
        self._is_claiming = False
        self._is_ending = False
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def stand(self, count: int, timeout_s: float, leaving: asyncio.Future[None]) -> list[Claimed]:
        """Wait for tasks; none when the time is over or the caller leaves. Raises what the queue refused with."""
        poll = Poll(count)
        self._waiting.append(poll)
        self._serve_kept()
        self._stir.set()
        is_served = False
        try:
            await asyncio.wait((poll.claimed, leaving), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not poll.claimed.done() and self._is_looking():
                poll.is_late = True
                await asyncio.wait((poll.claimed, leaving), return_when=asyncio.FIRST_COMPLETED)
            is_served = poll.claimed.done() and not leaving.done()
            return poll.claimed.result() if is_served else []
        finally:
            self._left_s = self._now_s()
            if not is_served:
                self._leave(poll)

    def woken(self, token: bytes) -> bool:
        """A task was handed over, or there may be one; whether that is news to a poll that stands here."""
        grant = read_grant(token)
        keep_s = self._left_s + KEEP_S - self._now_s()
        if grant is not None and (self._waiting or keep_s > 0) and not self._is_ending:
            self._kept.append(Claimed(grant.task_id, self._place[0], grant.delivery, grant.offer))
            if self._waiting:
                self._serve_kept()
            else:
                asyncio.get_running_loop().call_later(keep_s, self._serve_kept)
            return True
        self._due_s = 0.0
        self._stir.set()
        return grant is None and bool(self._waiting)

    def end(self) -> asyncio.Task[None]:
        """Claim nothing more; gives the task that ends with it."""
        self._is_ending = True
        self._stir.set()
        return self._loop

    def _leave(self, poll: Poll) -> None:
        """A poll goes without its answer: what was claimed for it is for others."""
        if poll in self._waiting:
            self._waiting.remove(poll)
        if not poll.claimed.done():
            poll.claimed.cancel()
        elif poll.claimed.exception() is None and poll.claimed.result():
            self._polls.give_back(poll.claimed.result())

    def _serve_kept(self) -> None:
        """Deal out what was handed over; what nobody here wants is for others."""
        kept, self._kept = self._kept, []
        if kept:
            self._serve(kept)

    def _is_looking(self) -> bool:
        return self._is_claiming or self._due_s <= self._now_s()

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._is_ending:
                now_s = self._now_s()
                next_s = self._due_s if self._waiting else self._noted_s
                if next_s > now_s:
                    await self._rest(next_s - now_s)
                elif self._waiting:
                    await self._look()
                else:
                    return
        finally:
            self._polls.wakeups.ignore(self._place)
            self._polls.forget(self._place)
            self._polls.give_back(self._kept)
            for poll in self._waiting:
                if not poll.claimed.done():
                    poll.claimed.set_result([])

    async def _rest(self, seconds: float) -> None:
        self._stir.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()

    async def _look(self) -> None:
        """Claim for everybody who stands here, and know when to do so again."""
        task_type, domain = self._place
        room = min(CLAIM_MAX, sum(poll.count for poll in self._waiting))
        self._due_s = math.inf
        self._is_claiming = True
        polls = self._polls
        plan = dispatch.claim_tasks(
            polls.session.store, [Want(task_type, domain, room)], polls.claimant, wait_ms=WAIT_MS
        )
        try:
            reply = await polls.session.run(plan)
        except OrchestratorError as error:
            self._refuse(error)
            return
        finally:
            self._is_claiming = False
        failure = reply.failures.get(task_type)
        if failure is not None:
            self._refuse(failure)
            return
        now_s = self._now_s()
        if len(reply.claimed) < room:
            self._noted_s = now_s + WAIT_MS / 1000
            # A wake-up that came while the claim was on its way may be for what came behind it.
            self._due_s = min(self._due_s, now_s + min(HINT_MAX_S, reply.queues[task_type].hint_ms / 1000))
        else:
            self._due_s = 0.0
        polls.wakeups.listen(self._place, self.woken)
        self._serve(reply.claimed)

    def _serve(self, claimed: Sequence[Claimed]) -> None:
        """Deal out: one to each in turn, the longest waiting first, until each has as many as it has room for."""
        dealt: dict[Poll, list[Claimed]] = {poll: [] for poll in self._waiting}
        turn = deque(dealt)
        left: list[Claimed] = []
        for one in claimed:
            while turn and len(dealt[turn[0]]) >= turn[0].count:
                turn.popleft()
            if not turn:
                left.append(one)
                continue
            dealt[turn[0]].append(one)
            turn.rotate(-1)
        for poll, share in dealt.items():
            if share or poll.is_late:
                self._waiting.remove(poll)
                poll.claimed.set_result(share)
        if left:
            self._polls.give_back(left)

    def _refuse(self, error: Exception) -> None:
        """The queue cannot be asked: everybody who stands here is told why, the next one tries again."""
        self._due_s = 0.0
        while self._waiting:
            self._waiting.popleft().claimed.set_exception(error)
