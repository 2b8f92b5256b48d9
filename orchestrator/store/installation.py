"""What is true of an installation: how it is laid out, which deciders live, which queues and places it has ever had.

All of it lives in the catalog's slot. Every function returns the call to make. Every process asks ``check_installation``
before it touches anything else. Callers: the processes' starts, the engine and the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from orchestrator.errors import StoreForbidden, StoreRefused
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys
from orchestrator.store.scripts import library

SCHEMA = 2  # of the keys this code writes
OLDEST_SCHEMA = 2  # the oldest schema this code can still read
OLDEST_READER = 2  # the oldest schema number a program must know to read what this code writes

_CALLED = re.compile(r"""\bcall\('([A-Z]+)'""")


def check_installation(keys: Keys) -> Call:
    """Record the layout of a new installation, or compare with the recorded one; replies its number of partitions.

    Raises ``StoreRefused`` when the partitions differ (workflows would be looked for in the wrong place) or when this
    program and the stored schema do not know each other, ``StoreForbidden`` when the Redis user may not do what scripts
    do: one that is stopped half-way has done half of its work. Example: ``executor.do(check_installation(keys))``
    """

    def compare(raw: list[bytes]) -> int:
        refused, recorded = raw[3:], raw[:3]
        if refused:
            rights = " ".join(f"+{name.decode().lower()}" for name in refused)
            raise StoreForbidden(
                "the Redis user lacks rights that scripts need",
                f"grant them (ACL SETUSER, or its ACL file): {rights}, "
                f"on the keys and channels ~{keys.namespace}:* &{keys.namespace}:*",
            )
        partitions, schema, oldest_reader = (int(value) for value in recorded)
        where = f"the installation {keys.namespace!r} in this Redis"
        if partitions != keys.partitions:
            raise StoreRefused(
                f"{where} has {partitions} partitions, this process is set to {keys.partitions}",
                f"set partitions={partitions} here, the number is fixed once and for all",
            )
        if oldest_reader > SCHEMA:
            raise StoreRefused(
                f"{where} was written by a newer release (key schema {schema}, readable from {oldest_reader} on, "
                f"this one knows {SCHEMA})",
                "upgrade this program",
            )
        if schema < OLDEST_SCHEMA:
            raise StoreRefused(
                f"{where} has key schema {schema}, this release reads {OLDEST_SCHEMA} to {SCHEMA}",
                "finish its workflows with the older release or use another namespace",
            )
        return partitions

    arguments: list[Argument] = [keys.partitions, SCHEMA, OLDEST_READER, *_called()]
    return Call("installation", (keys.installation(),), arguments, compare, durable=True)


def recorded_partitions(keys: Keys) -> Command:
    """How many partitions the installation there has; decodes to ``None`` where there is none."""
    return Command(("HGET", keys.installation(), "partitions"), lambda raw: None if raw is None else int(raw))


def decider_beat(keys: Keys, decider_id: str, ttl_ms: int) -> Call:
    """Say that a decider lives for ``ttl_ms`` more; replies the ids of all live deciders, sorted (``list[str]``)."""
    return Call("decider_beat", (keys.deciders(),), (decider_id, ttl_ms), _sorted_names)


def decider_leave(keys: Keys, decider_id: str) -> Call:
    """Say that a decider is gone; replies the ids of those that live."""
    return decider_beat(keys, decider_id, 0)


def live_deciders(keys: Keys) -> Call:
    """The ids of all live deciders, sorted, without saying anything of oneself."""
    return decider_leave(keys, "")


def add_queues(keys: Keys, task_types: Iterable[str]) -> Command:
    """Remember that these task types have queues; at least one. Replies how many were not known."""
    return Command(("SADD", keys.queues(), *task_types))


def list_queues(keys: Keys) -> Command:
    """Every task type that has ever had a queue, sorted."""
    return Command(("SMEMBERS", keys.queues()), _sorted_names)


def add_places(keys: Keys, places: Iterable[str]) -> Command:
    """Remember that news of listeners goes to these addresses; at least one."""
    return Command(("SADD", keys.places(), *places))


def list_places(keys: Keys) -> Command:
    """Every address that news has ever been for, sorted."""
    return Command(("SMEMBERS", keys.places()), _sorted_names)


@cache
def _called() -> tuple[str, ...]:
    """The commands that scripts call, and the one that those who wait send, sorted."""
    called = {name for script in library().values() for name in _CALLED.findall(script.source)}
    return tuple(sorted(called | {"SUBSCRIBE"}))


def _sorted_names(raw: Iterable[bytes]) -> list[str]:
    return sorted(name.decode() for name in raw)
