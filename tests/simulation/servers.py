"""The life of an API server with its pollers: claim, start, lend, answer; then its workers report by task id.

Worker and server are one actor: who is killed between poll and answer, or later, leaves a lent task of which nobody ever
hears again. Only types with a short response time-out are polled for, because that alone judges such silence.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from orchestrator.errors import InvalidRequest, StoreUnavailable
from orchestrator.model.execution import TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Command
from orchestrator.service import dispatch, lending, tasks
from orchestrator.service.dispatch import Claimed, Want
from orchestrator.store.queue_values import read_grant
from tests.simulation.life import Life, Sleep, Surroundings

POLLED = ("flaky", "limited")
WAIT_MS = 2_500
LOOK_MS = 2_000
GONE = 0.15
"""The chance that a caller has gone before it was answered."""


def has_servers(seed: int) -> bool:
    """Whether pollers take part in a seed, and workers that hear of tasks in the midst of something else."""
    return random.Random(f"{seed} calls").random() < 0.4


class Out(NamedTuple):
    """A task that a polling worker has: when it reports, and whether it says before that it lives."""

    claimed: Claimed
    result: TaskResult
    done_ms: int
    extends: bool


class Server:
    """One server and the workers that poll it."""

    def __init__(self, world: Surroundings, name: str) -> None:
        self.world = world
        self.name = name
        self.store = world.store()
        self.rng = world.random_of(name)
        self.room = self.rng.randrange(1, 4)
        self.claimed: list[Claimed] = []
        self.unwanted: list[Claimed] = []
        self.put_back: list[tuple[str, bytes]] = []
        self.out: list[Out] = []
        self.look_ms = 0

    def life(self) -> Life:
        """Live until killed."""
        while True:
            try:
                yield from self._give_back()
                yield from self._report()
                yield from self._claim()
                yield from self._hand_out()
            except StoreUnavailable:
                self.unwanted, self.claimed = self.unwanted + self.claimed, []
                yield Sleep(self.rng.randrange(5, 200))
                continue
            if not self.unwanted and not self.put_back:
                heard = yield Sleep(self._idle_ms(), queues=POLLED)
                if heard is not None:
                    self._hear(*heard)

    def _hear(self, task_type: str, token: bytes) -> None:
        grant = read_grant(token)
        if len(self.out) >= self.room:  # no poll stands here: whoever listens elsewhere may have one
            self.put_back.append((task_type, token))
        elif grant is None:
            self.look_ms = 0
        else:
            self.claimed.append(Claimed(grant.task_id, task_type, grant.delivery, grant.offer))

    def _give_back(self) -> Life:
        while self.put_back:
            task_type, token = self.put_back.pop()
            yield Command(("LPUSH", self.store.queues.wake_key(task_type) or "", token))
        if self.unwanted:
            yield from lending.hand_back(self.store, self.unwanted)
            self.unwanted = []

    def _claim(self) -> Life:
        room = self.room - len(self.out) - len(self.claimed)
        if room <= 0 or self.world.now < self.look_ms:
            return
        wants = [Want(task_type, None, room) for task_type in POLLED]
        reply = yield from dispatch.claim_tasks(self.store, wants, self.name, wait_ms=WAIT_MS)
        self.claimed += reply.claimed
        self.look_ms = self.world.now + min((news.hint_ms for news in reply.queues.values()), default=LOOK_MS)

    def _hand_out(self) -> Life:
        if not self.claimed:
            return
        lent = yield from lending.hand_out(self.store, self.claimed, self.name)
        self.claimed = []
        for run, _ in lent:
            if self.rng.random() < GONE:
                self.unwanted.append(run.claimed)
            else:
                self._answer(run)

    def _answer(self, run: dispatch.TaskToRun) -> None:
        claimed = run.claimed
        turn = self.world.workload.turn(claimed.task_id, run.scheduled.ref, claimed.delivery)
        if turn.status == "HANG":
            return
        result = TaskResult(
            workflow_instance_id=claimed.task_id.rsplit("-", 1)[0],
            task_id=claimed.task_id,
            status=TaskStatus(turn.status),
            callback_after_seconds=turn.callback_ms // 1000,
            worker_id=self.name,
            reason_for_incompletion=None if turn.status == "COMPLETED" else f"{turn.status} on purpose",
            output_data={"by": self.name, "delivery": claimed.delivery, "ref": run.scheduled.ref},
        )
        self.out.append(Out(claimed, result, self.world.now + turn.lasts_ms, self.rng.random() < 0.3))

    def _report(self) -> Life:
        for one in [one for one in self.out if one.extends]:
            extension = TaskResult(
                workflow_instance_id=one.result.workflow_instance_id,
                task_id=one.result.task_id,
                status=TaskStatus.IN_PROGRESS,
                extend_lease=True,
            )
            yield from self._say(extension)
            self.out = [one._replace(extends=False) if other is one else other for other in self.out]
        for one in [one for one in self.out if one.done_ms <= self.world.now]:
            yield from self._say(one.result)
            self.out.remove(one)

    def _say(self, result: TaskResult) -> Life:
        try:
            yield from tasks.update_task(self.store, result, wait_commit=False)
        except InvalidRequest:  # the workflow was removed
            return

    def _idle_ms(self) -> int:
        moments = [one.done_ms for one in self.out]
        if len(self.out) < self.room:
            moments.append(self.look_ms)
        return max(1, min(moments, default=self.world.now + LOOK_MS) - self.world.now)


def server_life(world: Surroundings, name: str) -> Life:
    """The life of one server."""
    return Server(world, name).life()
