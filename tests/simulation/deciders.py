"""The life of a decider process: beat, turn, flush and wait, as the real process does, and sometimes a coup."""

from __future__ import annotations

from orchestrator.engine.decider import Decider
from orchestrator.engine.estate import Estate
from orchestrator.errors import StoreUnavailable
from orchestrator.store import ownership
from orchestrator.store.ownership import Owned
from tests.simulation.life import Life, Sleep, Surroundings

RECHECK_MS = 2_000


def decider_life(world: Surroundings, name: str, kind: type[Decider] = Decider) -> Life:
    """Live until killed, or for some deciders until they leave in good order."""
    rng = world.random_of(name)
    decider = kind(world.store(), name)
    leaves_at = world.now + rng.randrange(800, 5000) if rng.random() < 0.3 else None
    beat_due = look_due = 0
    while True:
        try:
            if leaves_at is not None and world.now >= leaves_at and world.faults.is_on:
                yield from decider.leave()
                return
            if world.now >= beat_due:
                yield from decider.beat()
                beat_due = world.now + world.settings.ownership_ms // 3
            if world.now >= look_due:
                decider.look_at_timers()
                look_due = world.now + RECHECK_MS
            if world.faults.has_coups and world.faults.chance(0.02):
                yield from _coup(world, decider, rng.randrange(world.settings.partitions))
            if (yield from decider.turn()):
                continue
            yield from decider.flush()
        except StoreUnavailable:
            decider.reset_all()
            beat_due = look_due = 0
            yield Sleep(rng.randrange(5, 300))
            continue
        slept_at = world.now
        yield Sleep(_idle_ms(decider, min(beat_due, look_due) - world.now), inboxes=tuple(decider.estates))
        decider.clock_ms += world.now - slept_at


def _coup(world: Surroundings, decider: Decider, number: int) -> Life:
    if number not in decider.estates:
        reply = yield ownership.acquire(
            decider.store.keys, number, decider.name, world.settings.ownership_ms, force=True
        )
        if isinstance(reply, Owned):
            decider.estates[number] = Estate(number, reply.epoch, reply.crashes)


def _idle_ms(decider: Decider, until_beat_ms: int) -> int:
    estates = decider.estates.values()
    if any(estate.retry or estate.redrive or estate.undelivered for estate in estates):
        return 10
    timer_ms = decider.next_timer_in_ms()
    soonest = min(RECHECK_MS, until_beat_ms, RECHECK_MS if timer_ms is None else timer_ms + 1)
    return max(soonest, 1)
