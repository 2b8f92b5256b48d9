"""The life of a worker process: claim, start, run for a while of virtual time, report, release, heartbeat.

It drives the plans that real workers use. A polite worker stops at the end of its lease by its own clock; a rude one
does not, and whoever stalls in the middle of a plan goes on with it however late it is: those are the zombies.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.errors import StoreUnavailable
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.plan import Command
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Claimed, Release, Report, TaskToRun, Want
from orchestrator.store.queue_values import Beat, read_grant
from orchestrator.store.queue_values import Release as How
from tests.simulation.life import Life, Sleep, Surroundings
from tests.simulation.workload import DOMAIN, TASK_TYPES

WAIT_MS = 2_000
SETTLE_LATER_MS = 20
UNLIMITED = ("plain", "flaky")
NEVER_MS = 10**15


class Running(NamedTuple):
    """A task that runs: when it is done, and until when its lease is known to hold."""

    claimed: Claimed
    done_ms: int
    lease_end_ms: int
    outcome: Outcome
    is_silent: bool


class Worker:
    """One worker process."""

    def __init__(self, world: Surroundings, name: str) -> None:
        rng = world.random_of(name)
        self.world = world
        self.name = name
        self.store = world.store()
        self.slots = rng.randrange(1, 4)
        self.is_polite = rng.random() < 0.7
        self.beats_due = 0
        self.hint_ms = WAIT_MS
        self.epochs: dict[str, int] = {}  # when the clock of a queue stood at 0, at the earliest
        self.leased_at = 0
        self.unstarted: list[Claimed] = []
        self.running: dict[str, Running] = {}
        self.reports: list[Report] = []
        self.releases: list[Release] = []
        self.settle_by = 0
        self.put_back: list[tuple[str, bytes]] = []
        # Whether a wake-up may come when it is of no use, or a lease be given back later: in seeds of their own.
        self.ears = world.random_of(f"{name} ears") if world.workload.is_polled else None
        self.backoff = rng

    def life(self) -> Life:
        """Live until killed."""
        while True:
            try:
                yield from self._finish()
                yield from self._return_tokens()
                yield from self._claim()
                if self._chance(0.2):  # a read that was under way while the claim was
                    self._hear(*((yield Sleep(1, queues=TASK_TYPES)) or ("", b"")))
                yield from self._start()
                yield from self._beat()
            except StoreUnavailable:
                yield Sleep(self.backoff.randrange(5, 200))
                continue
            if not self.reports and not self.unstarted and not self.put_back:
                listens = self.free > 0 or self._chance(0.3)
                wake_up = yield Sleep(self._idle_ms(), queues=TASK_TYPES if listens else ())
                if wake_up is not None:
                    self._hear(*wake_up)

    @property
    def free(self) -> int:
        return self.slots - len(self.running) - len(self.unstarted)

    def _chance(self, probability: float) -> bool:
        return self.ears is not None and self.ears.random() < probability

    def _return_tokens(self) -> Life:
        while self.put_back:
            task_type, token = self.put_back.pop()
            yield Command(("LPUSH", self.store.queues.wake_key(task_type) or "", token))

    def _hear(self, task_type: str, token: bytes) -> None:
        """A hint to claim, or a task that was handed over: it is started before anything is claimed."""
        grant = read_grant(token)
        if grant is None:
            if token and self.free <= 0:
                self.put_back.append((task_type, token))
            return
        claimed = Claimed(grant.task_id, task_type, grant.delivery, grant.offer)
        lease_ms = self.world.settings.lease_ms
        leased_at = min(self.world.now, self.epochs.get(task_type, -NEVER_MS) + grant.until_ms - lease_ms)
        if leased_at + lease_ms <= self.world.now or self.free <= 0:
            self.releases.append(dispatch.release(claimed, How.BACK))
        else:
            self.leased_at = min(self.leased_at, leased_at) if self.unstarted else leased_at
            self.unstarted.append(claimed)

    def _finish(self) -> Life:
        now = self.world.now
        for task_id, task in list(self.running.items()):
            if self.is_polite and not task.is_silent and task.lease_end_ms <= now:
                del self.running[task_id]
            elif task.done_ms <= now:
                del self.running[task_id]
                self.reports.append(Report(task.claimed, task.outcome))
        if not self.reports:
            return
        judged = yield from dispatch.report_tasks(self.store, self.reports, self.name)
        self.reports = []
        is_awaited = self.ears is None or any(one.claimed.type not in UNLIMITED for one in judged)
        self.settle_by = now if is_awaited or self.releases else now + SETTLE_LATER_MS
        self.releases += [verdict.release for verdict in judged if verdict.release is not None]

    def _claim(self) -> Life:
        free = self.slots - len(self.running)
        settle = self.releases if self.settle_by <= self.world.now else []
        if self.unstarted or (free <= 0 and not settle):
            return
        asked_at = self.world.now
        wants = []
        if free > 0:
            wants = [Want(task_type, None, free) for task_type in TASK_TYPES]
            if self.world.workload.uses_domain:
                wants += [Want(task_type, DOMAIN, free) for task_type in ("plain", "limited")]
        reply = yield from dispatch.claim_tasks(self.store, wants, self.name, wait_ms=WAIT_MS, settle=settle)
        self.releases = reply.unsettled + (self.releases if settle is not self.releases else [])
        self.unstarted, self.leased_at = reply.claimed, asked_at
        self.epochs |= {task_type: asked_at - news.now_ms for task_type, news in reply.queues.items()}
        self.hint_ms = min((news.hint_ms for news in reply.queues.values()), default=WAIT_MS)

    def _start(self) -> Life:
        if not self.unstarted:
            return
        answers = yield from dispatch.start_tasks(self.store, self.unstarted, self.name)
        self.unstarted = []
        for answer in answers:
            if isinstance(answer, TaskToRun):
                self._run(answer, self.leased_at)
            elif answer.release is not None:
                self.releases.append(answer.release)

    def _run(self, task: TaskToRun, leased_at: int) -> None:
        claimed = task.claimed
        if claimed.is_lost:
            self.reports.append(Report(claimed, dispatch.lost_outcome(claimed)))
            return
        turn = self.world.workload.turn(claimed.task_id, task.scheduled.ref, claimed.delivery)
        if turn.status == "HANG":
            return
        outcome = Outcome(
            FORMAT,
            turn.status,
            reason=None if turn.status == "COMPLETED" else f"{turn.status} on purpose",
            callback_after_ms=turn.callback_ms,
            output=Raw(pack({"by": self.name, "delivery": claimed.delivery, "ref": task.scheduled.ref})),
        )
        done_ms, lease_end_ms = self.world.now + turn.lasts_ms, leased_at + self.world.settings.lease_ms
        self.running[claimed.task_id] = Running(claimed, done_ms, lease_end_ms, outcome, turn.is_silent)

    def _beat(self) -> Life:
        if not self.running or self.world.now < self.beats_due:
            return
        asked_at, lease_ms = self.world.now, self.world.settings.lease_ms
        self.beats_due = asked_at + lease_ms // 3
        held = self._held()
        if not held:
            return
        words = yield from dispatch.extend_leases(self.store, held)
        for claimed in held:
            word = words.get(claimed.task_id)
            if word is Beat.OK:
                task = self.running[claimed.task_id]
                self.running[claimed.task_id] = task._replace(lease_end_ms=asked_at + lease_ms)
            elif word is not None and (self.is_polite or word is Beat.CANCELLED):
                del self.running[claimed.task_id]
                if word is Beat.CANCELLED:
                    self.releases.append(dispatch.release(claimed, How.BACK))
        if held := self._held():
            yield from dispatch.touch_tasks(self.store, held, self.name)

    def _held(self) -> list[Claimed]:
        return [task.claimed for task in self.running.values() if not task.is_silent]

    def _idle_ms(self) -> int:
        if self.releases:
            return max(1, self.settle_by - self.world.now)
        now = self.world.now
        moments = [task.done_ms for task in self.running.values()]
        if self.running:
            moments.append(self.beats_due)
        if len(self.running) < self.slots:
            moments.append(now + self.hint_ms)
        return max(1, min(moments, default=now + WAIT_MS) - now)


def worker_life(world: Surroundings, name: str) -> Life:
    """The life of one worker."""
    return Worker(world, name).life()
