"""One world of one seed: actors take turns at single store steps, under a virtual clock, with faults; rules look on.

First faults, then none: whatever was broken must then heal by itself within a bounded time, and what is left at rest
must be in order. Callers: the command line, the tests and the mutants.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from orchestrator.engine.decider import Decider
from orchestrator.errors import OrchestratorError, StoreUnavailable
from orchestrator.plan import Call, Command, Outside, Receive, Send, Wait
from orchestrator.settings import Settings
from orchestrator.store.context import StoreContext
from tests.simulation import gates, hooks
from tests.simulation.actors import Actor
from tests.simulation.clients import client_life, healer_life, install, keeper_life, tuner_life
from tests.simulation.deciders import decider_life
from tests.simulation.disk import Clocks, Disk, keys_of, name_of, slot_of
from tests.simulation.faults import Fault, Faults
from tests.simulation.ledger import Ledger, Violation
from tests.simulation.life import Act, Life, Sleep
from tests.simulation.rules import Rules
from tests.simulation.servers import server_life
from tests.simulation.totals import Totals
from tests.simulation.trace import Trace
from tests.simulation.workers import worker_life
from tests.simulation.workload import TASK_TYPES, Order, Workload

NOON = 1_800_000_000_000
HEALING_MS = 240_000
GRACE_MS = 3_500  # one look of a claimant that missed its hint (2 s), a retry, and a second
STEPS_MAX = 20_000
_LOST = "the connection was lost (simulated)"

_worlds = iter(range(1, 1_000_000_000))


class World:
    """One seed, from the first step to rest."""

    def __init__(self, seed: int, disk: Disk, *, decider: type[Decider] = Decider, trace: Trace | None = None) -> None:
        self.seed = seed
        self.disk = disk
        self.totals = Totals(seeds=1)
        self.trace = trace or Trace()
        self.faults = Faults(seed)
        self._rng = rng = random.Random(f"{seed} schedule")
        self.settings = Settings(
            # A name of its own, because the engine remembers per process which definitions it has sent where.
            namespace=f"w{next(_worlds)}",
            partitions=rng.choice((2, 2, 3)),
            lease_ms=rng.choice((1000, 1500)),
            ownership_ms=rng.choice((1000, 2000)),
            deliveries_max=rng.choice((3, 6)),
            secret_values=hooks.SECRETS,
        )
        self.is_ordered = rng.random() < 0.7  # as on one server; otherwise as on a cluster
        self.workload = Workload(seed, self.settings.partitions, NOON)
        self.ledger = Ledger()
        keys = self.store().keys
        self.clocks = Clocks(keys, TASK_TYPES, [rng.randrange(0, 40) for _ in range(5)], NOON)
        for gate in gates.names(self.workload.at_once):
            self.clocks.add_gate(keys, gate)
        for event in hooks.events() if self.workload.is_hooked else ():
            self.clocks.add_event(keys, event)
        self.rules = Rules(self.ledger, self.totals, keys, disk, self.workload, self.clocks, seed)
        self._decider_kind = decider
        self._actors: list[Actor] = []
        self._late: list[tuple[int, str, list[Call | Command]]] = []
        self._count = 0
        self._steps = 0

    # --- what lives know of it ------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The virtual time in ms."""
        return self.clocks.now

    def store(self) -> StoreContext:
        """A store context as a fresh process has it."""
        return StoreContext(self.settings, is_ordered=self.is_ordered)

    def random_of(self, name: str) -> random.Random:
        """A source of randomness for one actor."""
        return random.Random(f"{self.seed} {name}")

    def travelling(self, script: str, word: str) -> bool:
        """Whether a late step of that script with that argument is still on its way."""
        steps = [step for _, _, late in self._late for step in late]
        return any(isinstance(s, Call) and s.script == script and word in map(str, s.args) for s in steps)

    # --- the story --------------------------------------------------------------------------------------------------------

    def run(self) -> Totals:
        """Live through the seed; raises ``Violation`` when a rule is broken."""
        self.disk.empty()
        self.disk.set_clock(self.clocks.pairs())
        self._enter("install", lambda name: install(self))
        self._until(lambda: not self._actors, NOON + HEALING_MS)
        self._populate()
        self._until(lambda: self.faults.steps_left <= 0, NOON + HEALING_MS)
        self.faults.is_on = False
        self.workload.is_calm = True
        self._enter("healer", lambda name: healer_life(self, name))
        self._until(self._is_at_rest, self._check_recovery())
        if not self._is_at_rest():
            raise Violation(
                f"L1: after {HEALING_MS // 1000} s without faults there is left:\n{self.rules.what_is_left()}"
            )
        self.rules.at_rest()
        self.totals.virtual_ms += self.now - NOON
        return self.totals

    def _check_recovery(self) -> int:
        """L2: what stood in an inbox when the faults ended is soon dealt with, and dead workers' leases are noticed.

        Returns the time by which everything must be done.
        """
        healed_by = self.now + HEALING_MS
        waiting = {event_id for image in self.ledger.partitions.values() for event_id in image.events}
        busy = [actor.wake_ms for actor in self._actors if actor.name.startswith(("decider", "worker", "server"))]
        last = max([self.now, *busy, *(due for due, _, _ in self._late)])
        self._until(self._is_at_rest, last + self.settings.ownership_ms * 4 // 3 + GRACE_MS)
        if not self._is_at_rest():
            self.rules.has_recovered(waiting, GRACE_MS)
        return healed_by

    def _populate(self) -> None:
        for index in range(self._rng.choice((2, 2, 3))):
            self._enter(f"decider-{index}", lambda name: decider_life(self, name, self._decider_kind))
        for index in range(self._rng.choice((2, 2, 3))):
            self._enter(f"worker-{index}", lambda name: worker_life(self, name))
        for index, order in enumerate(self.workload.orders):
            self._enter(f"client-{index}", partial(_client, self, order))
        if self.workload.is_polled:
            for index in range(2):
                self._enter(f"server-{index}", lambda name: server_life(self, name))
        if self.workload.is_hooked:
            for index in range(2):
                self._enter(f"client-hook-{index}", lambda name: hooks.sender_life(self, name))
                self._enter(f"host-{index}", lambda name: hooks.host_life(self, name))
        if self._rng.random() < 0.3:
            self._enter("tuner", lambda name: tuner_life(self, name))
        self._enter("keeper", lambda name: keeper_life(self, name))

    def _is_at_rest(self) -> bool:
        busy = any(actor.name.startswith(("client", "tuner")) for actor in self._actors)
        return not busy and not self._late and self.rules.is_quiet()

    def _until(self, done: Callable[[], bool], deadline_ms: int) -> None:
        while not done():
            self._steps += 1
            if self.now > deadline_ms:
                return
            if self._steps > STEPS_MAX:
                raise Violation(f"L1: {STEPS_MAX} steps were not enough; there is left:\n{self.rules.what_is_left()}")
            self._turn()

    def _turn(self) -> None:
        """One step of one actor, or the passing of time."""
        now = self.now
        for index, (due, name, steps) in enumerate(self._late):
            if due <= now:
                del self._late[index]
                for step in steps:
                    self._execute(f"{name} (late)", step)
                return
        ready = [actor for actor in self._actors if actor.wake_ms <= now]
        if not ready:
            moments = [actor.wake_ms for actor in self._actors] + [due for due, _, _ in self._late]
            self._pass(min(moments) - now)
            return
        self._step(self._rng.choice(ready))
        self._pass(self._rng.choice((0, 0, 1, 2)))

    def _pass(self, ms: int) -> None:
        if ms > 0:
            for actor in self._actors:
                if actor.queues and actor.wake_ms > self.now:
                    self.rules.nothing_waits(actor.queues, actor.asleep_since)
            self.clocks.now += ms
            self.disk.set_clock(self.clocks.pairs())

    # --- actors -------------------------------------------------------------------------------------------------------------

    def _enter(self, name: str, life: Callable[[str], Life], wake_ms: int = 0) -> None:
        self._count += 1
        full_name = f"{name}.{self._count}"
        self._actors.append(Actor(full_name, life(full_name), life, wake_ms))

    def _step(self, actor: Actor) -> None:
        if not actor.todo and not self._resume(actor):
            return
        if not actor.todo:
            return
        place, step = actor.todo[0]
        fault = Fault.NONE if actor.has_stalled else self.faults.choose(name_of(step))
        self.rules.attempted(step)
        if fault is not Fault.NONE:
            self.trace.fault(self.now, actor.name, fault, step)
            self.totals.faults[name_of(step), str(fault)] += 1
        match fault:
            case Fault.STALL:
                actor.has_stalled = True
                actor.wake_ms = self.now + self.faults.delay_ms(self.settings.ownership_ms)
                return
            case Fault.CRASH_BEFORE:
                self._kill(actor)
                return
            case Fault.LATE:
                late = [step for _, step in actor.todo]
                self._late.append((self.now + self.faults.delay_ms(self.settings.lease_ms), actor.name, late))
                self._fail(actor)
                return
            case Fault.DUPLICATE:
                self._execute(actor.name, step)
        actor.has_stalled = False
        reply = self._execute(actor.name, step)
        if fault is Fault.CRASH_AFTER:
            self._kill(actor)
        elif fault is Fault.LOST:
            self._fail(actor)
        else:
            del actor.todo[0]
            actor.replies[place] = reply
            if not actor.todo:
                self._answer(actor)

    def _answer(self, actor: Actor) -> None:
        if actor.is_list:
            actor.answer = [actor.replies[place] for place in range(len(actor.replies))]
        elif isinstance(actor.replies[0], Exception):
            actor.error = actor.replies[0]
        else:
            actor.answer = actor.replies[0]
        actor.replies = {}

    def _fail(self, actor: Actor) -> None:
        actor.todo, actor.replies = [], {}
        actor.has_stalled = False
        actor.error = StoreUnavailable(_LOST)

    def _resume(self, actor: Actor) -> bool:
        """Let the actor go on to its next wish; False when there is nothing to execute now."""
        answer, error, actor.answer, actor.error = actor.answer, actor.error, None, None
        try:
            wish = actor.life.throw(error) if error is not None else actor.life.send(answer)
        except StopIteration:
            self._actors.remove(actor)
            if actor.name.startswith("decider"):  # it left in good order
                self._succeed(actor)
            return False
        except Violation:
            raise
        except Exception as mishap:
            raise Violation(f"L1: {actor.name} failed:\n{traceback.format_exc()}") from mishap
        match wish:
            case Sleep():
                self._put_to_sleep(actor, wish)
                return False
            case Act():
                actor.answer = wish.what(self.disk)
                return False
            case Wait() | Outside():
                raise TypeError("plans of this simulation do not wait on channels, nor for anything but Redis")
            case Call() | Command():
                actor.todo, actor.is_list = [(0, wish)], False
            case Receive():
                actor.answer = wish.token
            case Send():  # the faults of a pipeline meet it when it is sent
                actor.todo, actor.is_list = self._in_order(wish.steps), True
            case _:
                actor.todo, actor.is_list = self._in_order(wish), True
                if not actor.todo:
                    actor.answer = []
        return True

    def _in_order(self, steps: Sequence[Call | Command]) -> list[tuple[int, Call | Command]]:
        """The steps of a pipeline as they will run: a cluster keeps the order only within each slot."""
        if self.is_ordered:
            return list(enumerate(steps))
        lanes: dict[Any, list[tuple[int, Call | Command]]] = {}
        for place, step in enumerate(steps):
            lanes.setdefault(slot_of(keys_of(step)[0]), []).append((place, step))
        order = [slot for slot, lane in lanes.items() for _ in lane]
        self._rng.shuffle(order)
        return [lanes[slot].pop(0) for slot in order]

    def _kill(self, actor: Actor) -> None:
        self._actors.remove(actor)
        actor.life.close()
        self._succeed(actor)

    def _succeed(self, actor: Actor) -> None:
        base = actor.name.rsplit(".", 1)[0]
        self._enter(base, actor.again, self.now + self._rng.randrange(10, 1500))

    def _put_to_sleep(self, actor: Actor, wish: Sleep) -> None:
        actor.wake_ms = self.now + wish.ms
        actor.inboxes, actor.queues, actor.asleep_since = wish.inboxes, wish.queues, self.now
        for task_type in wish.queues:
            self._hand_on(task_type)

    # --- steps ----------------------------------------------------------------------------------------------------------------

    def _execute(self, actor: str, step: Call | Command) -> Any:
        self.totals.calls[name_of(step)] += 1
        outcome = self.rules.run(step)
        self.trace.step(self.now, actor, step, outcome.reply)
        for number in outcome.inboxes_grown:
            for other in self._actors:
                if number in other.inboxes:
                    self._wake(other)
        if outcome.task_type:
            self._hand_on(outcome.task_type)
        if isinstance(outcome.reply, Exception) or step.decode is None:
            return outcome.reply
        try:
            return step.decode(outcome.reply)
        except OrchestratorError as error:
            return error

    def _hand_on(self, task_type: str) -> None:
        """Give wake-up tokens to those who have waited longest, as a blocking pop does; now and then one is lost."""
        image = self.ledger.queue(task_type)
        for tokens, key in zip(image.wakes, image.wake_keys, strict=True):
            while tokens:
                waiting = [a for a in self._actors if task_type in a.queues and a.wake_ms > self.now]
                if not waiting:
                    break
                self.disk.ask([("LPOP", key)])
                token = tokens.pop(0)
                if not self.faults.chance(0.1):
                    sleeper = min(waiting, key=lambda a: a.asleep_since)
                    sleeper.answer = (task_type, token)
                    self._wake(sleeper)

    def _wake(self, actor: Actor) -> None:
        actor.inboxes, actor.queues = (), ()
        actor.wake_ms = min(actor.wake_ms, self.now)


def _client(world: World, order: Order, name: str) -> Life:
    return client_life(world, order, name)


def failed_command(seed: int, options: Sequence[str] = ()) -> str:
    """How to run a seed again."""
    return " ".join(["python -m tests.simulation", "--seed", str(seed), *options, "--verbose"])
