"""S26: limits that hold for each key of a task type. Told from where tasks are, not from the counts that the queue keeps.

No key has more leases and held slots than its limit, nor more grants in a window than its rate; and a task is kept back only
while its key is at its limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.simulation.ledger import QueueImage, Violation


def limits_of(texts: Sequence[bytes]) -> dict[str, str]:
    """What each task of a queue is limited by, from the raw hash."""
    return {name.decode(): text.decode().partition("\n")[2] for name, text in zip(texts[::2], texts[1::2], strict=True)}


def names_of(members: Sequence[bytes]) -> set[str]:
    """The tasks that are kept back, from the raw sorted set."""
    return {member.decode().rpartition("\n")[2].split(" ", 2)[2] for member in members}


class KeyRules:
    """Judges what the keys of queues have."""

    def __init__(self) -> None:
        self._grants: dict[tuple[str, str], list[int]] = {}

    def places(self, task_type: str, before: QueueImage, after: QueueImage) -> None:
        """Compare the slots of each key with its limit, before and after a step."""
        at_once, rate = after.key_limits
        if not at_once:
            return
        had, has = _taken(before), _taken(after)
        for key, count in has.items():
            if count > max(at_once, had[key]):
                raise Violation(
                    f"S26: {key!r} of {task_type} has {count} leases and held slots, its limit is {at_once}"
                )
        if rate or after.is_scanned:
            return
        has.update(_by_key(after, set().union(*after.ready) - after.held))
        for key, count in _by_key(after, after.kept - after.held).items():
            if has[key] < at_once:
                raise Violation(
                    f"S26: {count} tasks of {task_type} are kept back, and {key!r} has only {has[key]} of {at_once}"
                )

    def grants(self, task_type: str, granted: Iterable[str], after: QueueImage, now_ms: int) -> None:
        """Count the grants of each key within the window that ends now."""
        _, rate = after.key_limits
        for task_id in granted:
            log = self._grants.setdefault((task_type, after.keys.get(task_id, "")), [])
            log.append(now_ms)
            recent = sum(at > now_ms - after.limits[2] for at in log)
            if rate and recent > rate:
                raise Violation(f"S26: {recent} grants of {task_type} for one key, the rate is {rate}: {log[-9:]}")


def _taken(image: QueueImage) -> Counter[str]:
    return _by_key(image, [*image.leases, *image.held])


def _by_key(image: QueueImage, tasks: Iterable[Any]) -> Counter[str]:
    return Counter(image.keys.get(task_id, "") for task_id in tasks)
