"""Drive plans against a store: one thin executor for threads, one for asyncio, the same plans for both.

An executor sends what a plan yields and sends back what came; ``exchange`` knows what that means. A ``Wait`` subscribes
first, then checks, then sleeps until a message comes or 2 s are over, and checks anew: a hint may be lost, a state not.
On asyncio thousands may ask at once; those for whom there is no connection wait their turn.
Executors hold no state of the protocol; they are safe to share between threads (sync) or tasks of one loop (async).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from orchestrator.errors import StoreUnavailable
from orchestrator.plan import Call, Command, Outside, Plan, Receive, Send, Step, Wait
from orchestrator.store.channels import RECHECK_S, AsyncChannels
from orchestrator.store.exchange import Profile, Round, exchange
from orchestrator.store.failures import LOST, translate
from orchestrator.store.wire import AsyncWire, Request, SyncWire

T = TypeVar("T")

EXCHANGES_MAX = 240  # at once; a little less than the connections that a pool may have
TURN_S = 10.0  # as long as one exchange may take


class _Sent(NamedTuple):
    """A pipeline under way: what its replies mean, and the wire's token for them."""

    rounds: Round
    token: Any


class SyncExecutor:
    """Runs plans on a blocking connection pool. Fork-safe: a child gets connections of its own.

    Example: ``executor.run(read_workflow(keys, workflow_id))``
    """

    def __init__(self, wire: SyncWire, profile: Profile) -> None:
        self._wire = wire
        self.profile = profile

    def run(self, plan: Plan[T]) -> T:
        """Drive ``plan`` to its end and return its value; raises what the plan raises."""
        sent: list[_Sent] = []
        try:
            step = next(plan)
            while True:
                try:
                    if isinstance(step, Send):
                        reply: Any = self._send(step.steps)
                        sent.append(reply)
                    elif isinstance(step, Receive):
                        sent.remove(step.token)
                        reply = self._receive(step.token)
                    else:
                        reply = self.do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            for left in sent:
                self._wire.abandon(left.token)

    def do(self, step: Step) -> Any:
        """One step by itself: the decoded reply, or a list of replies with errors in their places.

        Outside of ``run`` there is nothing to do meanwhile: a ``Send`` is answered at once, its token is the replies.
        Raises ``StoreUnavailable`` when the connection is lost and, for a single call, whatever it failed with.
        """
        if isinstance(step, Outside):
            return step.work()
        if isinstance(step, Wait):
            return self._wait(step)
        if isinstance(step, Send):
            return self._all(step.steps)
        if isinstance(step, Receive):
            return step.token
        if isinstance(step, Call | Command):
            return _single(self._all((step,)))
        return self._all(step) if step else []

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    def _all(self, steps: Sequence[Call | Command]) -> list[Any]:
        return self._receive(self._send(steps))

    def _send(self, steps: Sequence[Call | Command]) -> _Sent:
        rounds = exchange(self.profile, steps)
        try:
            return _Sent(rounds, self._wire.send(next(rounds)))
        except LOST as error:
            raise translate(error, where=self.profile.where) from error

    def _receive(self, sent: _Sent) -> list[Any]:
        try:
            replies = self._wire.receive(sent.token)
            while True:
                try:
                    requests = sent.rounds.send(replies)
                except StopIteration as stop:
                    return list(stop.value)
                replies = self._wire.exchange(requests)
        except LOST as error:
            raise translate(error, where=self.profile.where) from error

    def _wait(self, wait: Wait) -> Any:
        deadline = time.monotonic() + wait.timeout_s
        try:
            pubsub = self._wire.pubsub()
            try:
                pubsub.subscribe(*wait.channels)
                for _ in wait.channels:
                    pubsub.get_message(
                        timeout=RECHECK_S
                    )  # the server's confirmation: what happens from here on is heard
                while True:
                    reply = self.do(wait.check)
                    left = deadline - time.monotonic()
                    if wait.ready(reply) or left <= 0:
                        return reply
                    pubsub.get_message(timeout=min(RECHECK_S, left))
            finally:
                pubsub.close()
        except LOST as error:
            raise translate(error, where=self.profile.where) from error


class AsyncExecutor:
    """Runs plans on asyncio; belongs to the event loop it is first used in.

    Example: ``await executor.run(read_workflow(keys, workflow_id))``
    """

    def __init__(self, wire: AsyncWire, profile: Profile) -> None:
        self._wire = wire
        self.profile = profile
        self._channels = AsyncChannels(wire)
        self._places = asyncio.Semaphore(EXCHANGES_MAX)

    async def run(self, plan: Plan[T]) -> T:
        """Drive ``plan`` to its end and return its value; raises what the plan raises."""
        try:
            step = next(plan)
            while True:
                try:
                    reply = await self.do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def do(self, step: Step) -> Any:
        """One step; see ``SyncExecutor.do``. What is sent ahead is answered at once here: nobody computes meanwhile."""
        if isinstance(step, Send):
            return await self._all(step.steps)
        if isinstance(step, Receive):
            return step.token
        if isinstance(step, Wait):
            return await self._wait(step)
        if isinstance(step, Outside):
            return await asyncio.to_thread(step.work)
        if isinstance(step, Call | Command):
            return _single(await self._all((step,)))
        return await self._all(step) if step else []

    async def close(self) -> None:
        """Close every connection and stop listening."""
        await self._channels.close()
        await self._wire.close()

    async def _all(self, steps: Sequence[Call | Command]) -> list[Any]:
        rounds: Round = exchange(self.profile, steps)
        requests = next(rounds)
        while True:
            try:
                replies = await self._exchange(requests)
            except LOST as error:
                raise translate(error, where=self.profile.where) from error
            try:
                requests = rounds.send(replies)
            except StopIteration as stop:
                return list(stop.value)

    async def _exchange(self, requests: Sequence[Request]) -> list[Any]:
        if self._places.locked():
            await self._take_turn()
        else:
            await self._places.acquire()
        try:
            return await self._wire.exchange(requests)
        finally:
            self._places.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(TURN_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"Redis has left {EXCHANGES_MAX} others unanswered for {TURN_S:g} s; repeat later"
            ) from error

    async def _wait(self, wait: Wait) -> Any:
        deadline = time.monotonic() + wait.timeout_s
        try:
            async with self._channels.listen(wait.channels) as heard:
                while True:
                    heard.clear()
                    reply = await self.do(wait.check)
                    left = deadline - time.monotonic()
                    if wait.ready(reply) or left <= 0:
                        return reply
                    await self._channels.pause(wait.channels, heard, min(RECHECK_S, left))
        except LOST as error:
            raise translate(error, where=self.profile.where) from error


def _single(replies: list[Any]) -> Any:
    reply = replies[0]
    if isinstance(reply, Exception):
        raise reply
    return reply
