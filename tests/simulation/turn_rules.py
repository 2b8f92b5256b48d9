"""S25: owners who share a queue take turns. Told from the order of grants alone, not from the scores that bring it about.

While a task of an owner is ready, no other owner of the same priority is granted more than two new tasks: one whose turn is
the same as that of the owner's last grant, one whose turn is the same as that of the next. And no grant goes to a priority
below that of a task that stays ready.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.simulation.ledger import QueueImage, Share, Violation

OVERTAKEN_MAX = 2


def shares_of(texts: Sequence[bytes]) -> dict[str, Share]:
    """The owners of the tasks of a queue, from the raw hash."""
    shares = {}
    for name, text in zip(texts[::2], texts[1::2], strict=True):
        _, band, _, _, _, owner = text.decode().partition("\n")[0].split(" ", 5)
        if owner:
            shares[name.decode()] = Share(int(band), owner)
    return shares


class TurnRules:
    """Judges who is granted tasks of queues whose tasks have owners."""

    def __init__(self) -> None:
        self._overtaken: dict[tuple[str, int], dict[Share, Counter[Share]]] = defaultdict(dict)
        self._returned: dict[tuple[str, int], Counter[Share]] = defaultdict(Counter)

    def grants(
        self, task_type: str, domain: int, grants: Sequence[tuple[str, bool]], before: QueueImage, after: QueueImage
    ) -> None:
        """These tasks were granted in this order, each for the first time or not: one that comes again had its turn before."""
        if any(after.key_limits):
            return  # who was kept back goes by the turns that it had before
        waiting = before.ready[domain] & after.ready[domain] if domain < len(before.ready) else set()
        waits = {before.shares[task_id] for task_id in waiting if task_id in before.shares}
        overtaken = self._overtaken[task_type, domain]
        for share in overtaken.keys() - waits:
            del overtaken[share]
        returned = self._returned[task_type, domain]
        for task_id, is_new in grants:
            if task_id not in after.shares:
                continue
            granted = after.shares[task_id]
            overtaken.pop(granted, None)
            for share in waits - {granted} if is_new else ():
                if share.band > granted.band:
                    raise Violation(f"S25: a task of {task_type} for {granted} was granted while {share} waits")
                if share.band == granted.band:
                    counts = overtaken.setdefault(share, Counter())
                    counts[granted] += 1
                    if counts[granted] > OVERTAKEN_MAX + returned[granted] + returned[share]:
                        raise Violation(f"S25: {share} waits for {task_type} and was overtaken: {counts}")

    def called_off(self, task_type: str, before: QueueImage, after: QueueImage) -> None:
        """Tasks that were taken back while they were ready leave their turns to others of the same owner."""
        for domain, names in enumerate(before.ready):
            for task_id in names - after.records.keys():
                if task_id in before.shares:
                    self._returned[task_type, domain][before.shares[task_id]] += 1
