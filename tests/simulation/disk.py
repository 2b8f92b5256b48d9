"""The disk of a simulated world: a real server that runs the real scripts, one step at a time.

Every step travels with the slots' clocks in front and with looks at the slot behind it, in one round trip, so that the
rules judge what the store holds and not what a script says of itself. Callers: the world. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from orchestrator.plan import Argument, Call, Command
from orchestrator.store.exchange import Profile, exchange
from orchestrator.store.keys import Keys, clock_of
from orchestrator.store.scripts import Script, library
from orchestrator.store.wire import Request, pack

READ_ONLY = {
    "attempt",
    "due_timers", "get_workflow", "limited_ms", "queue_stats", "taskdefs_since", "view", "webhook_shapes",
    "GET", "HGETALL", "ZRANGEBYLEX", "HGET", "HMGET", "HSCAN", "HEXISTS", "XRANGE", "EXISTS",
}  # fmt: skip


class Slot(NamedTuple):
    """Where a key lives: kind p (partition number), q (task type) or c (catalog)."""

    kind: str
    name: str


class Looks(NamedTuple):
    """What came back from one step: its raw reply, the looks behind it, and digests of its keys around it."""

    reply: Any
    looks: list[Any]
    digests: tuple[Any, Any] | None


def name_of(step: Call | Command) -> str:
    """The script of a call, or the command's word."""
    return step.script if isinstance(step, Call) else str(step.words[0])


def keys_of(step: Call | Command) -> Sequence[str]:
    """The keys that a step names."""
    if isinstance(step, Call):
        return step.keys
    place = step.words.index("STREAMS") + 1 if step.words[0] == "XREADGROUP" else 1
    return (str(step.words[place]),)


def slot_of(key: str) -> Slot:
    """The slot of a key, read from its hash tag."""
    tag = key[key.index("{") + 1 : key.index("}:")]
    place = tag[tag.index(".") + 1 :]
    return Slot("c", "") if place == "c" else Slot(place[0], place[1:].removeprefix(":"))


class Disk:
    """One server, emptied for one world. ``scripts`` replaces the library, e.g. by one with a mutant in it."""

    def __init__(self, url: str, scripts: dict[str, Script] | None = None) -> None:
        pool = redis.ConnectionPool.from_url(url, protocol=2, socket_timeout=20.0)
        self._connection: Any = pool.make_connection()
        self._profile = Profile(scripts=scripts or library(declared_clock=True), declared_clock=True)
        self._clock: list[Argument] = []
        self._sent_clock: list[Argument] = []

    def empty(self) -> None:
        """Remove every key."""
        self.ask([("FLUSHDB",)])

    def set_clock(self, pairs: list[Argument]) -> None:
        """From the next step on the clock keys have these values."""
        self._clock = pairs

    def ask(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Plain commands of the simulator itself; raises what the server refuses."""
        replies = self._talk([Request("", words) for words in commands])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _talk(self, requests: Sequence[Request]) -> list[Any]:
        self._connection.send_packed_command(pack([request.words for request in requests]))
        replies = []
        for _ in requests:
            try:
                replies.append(self._connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def run(self, step: Call | Command, looks: Sequence[Sequence[Argument]], *, digest: bool = False) -> Looks:
        """Execute one step and look at its slot afterwards."""
        before: list[Request] = []
        if self._sent_clock != self._clock:
            before.append(Request("", ("MSET", *self._clock)))
        after = [Request("", words) for words in looks]
        if digest:
            around = Request("", ("DEBUG", "DIGEST-VALUE", *keys_of(step)))
            before, after = [*before, around], [around, *after]
        rounds = exchange(self._profile, [step._replace(decode=None)])
        requests = next(rounds)
        first: Any = None
        while True:
            replies = self._talk([*before, *requests, *after])
            self._sent_clock = self._clock
            start, stop = len(before), len(before) + len(requests)
            if digest and first is None:
                first = replies[start - 1]
            behind = replies[stop:]
            try:
                requests = rounds.send(replies[start:stop])
                before = []
            except StopIteration as end:
                (reply,) = end.value
                digests = (first, behind.pop(0)) if digest else None
                return Looks(reply, behind, digests)


class Clocks:
    """The virtual time and the slots' clocks, each ahead by a few milliseconds of its own; none runs backwards."""

    def __init__(self, keys: Keys, task_types: Sequence[str], offsets: Sequence[int], start_ms: int) -> None:
        places = [Slot("c", ""), *(Slot("p", str(n)) for n in range(keys.partitions))]
        names = [keys.catalog_clock(), *(keys.partition_clock(n) for n in range(keys.partitions))]
        places += [Slot("q", task_type) for task_type in task_types]
        names += [keys.queue_clock(task_type) for task_type in task_types]
        self.now = start_ms
        self.began = start_ms
        self.offsets = {place: offsets[index % len(offsets)] for index, place in enumerate(places)}
        self._names = dict(zip(places, names, strict=True))

    def of(self, slot: Slot) -> int:
        """The time of a slot."""
        return self.now + self.offsets[slot]

    def add_gate(self, keys: Keys, gate: str) -> None:
        """A gate's slot has the plain time."""
        place = Slot("g", gate)
        self.offsets[place] = 0
        self._names[place] = clock_of(keys.gate_meta(gate))

    def add_event(self, keys: Keys, event: str) -> None:
        """So has the slot of an event."""
        place = slot_of(keys.event_queue(event))
        self.offsets[place] = 0
        self._names[place] = keys.event_clock(event)

    def pairs(self) -> list[Argument]:
        """Clock keys and their values, for the disk."""
        found: list[Argument] = []
        for place, name in self._names.items():
            found += (name, self.now + self.offsets[place])
        return found
