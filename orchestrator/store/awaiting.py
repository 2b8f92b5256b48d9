"""The index of what open WAIT_FOR_WEBHOOK tasks await: a sorted set per workflow name whose members sort by mark.

A member is ``<mark>\\n<task id>``, and a mark ``<version>\\n<paths>\\n<digest>`` (``core.webhooks``). The commit keeps it;
here it is read, in one range per question.
"""

from __future__ import annotations

from orchestrator.plan import Call, Command
from orchestrator.store.keys import Keys

SHAPES_MAX = 200


def member(mark: str, task_id: str) -> str:
    """The entry of an open task."""
    return f"{mark}\n{task_id}"


def shapes(keys: Keys, partition: int, name: str) -> Call:
    """The different versions and paths that open tasks of a workflow compare: ``list[str]``, without values."""
    return Call(
        "webhook_shapes",
        (keys.awaiting_webhook(partition, name),),
        (SHAPES_MAX,),
        lambda raw: [one.decode() for one in raw],
    )


def tasks(keys: Keys, partition: int, name: str, mark: str, count: int) -> Command:
    """The ids of open tasks with this mark, at most ``count``."""
    key = keys.awaiting_webhook(partition, name)
    return Command(
        ("ZRANGEBYLEX", key, f"[{mark}\n", f"({mark}\x0b", "LIMIT", 0, count),
        lambda raw: [member.decode().rpartition("\n")[2] for member in raw],
    )
