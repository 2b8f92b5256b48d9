"""The rules of a queue's slot: places, leases, limits, offers; checked against the queue's raw contents at every step.

Covers S9 (concurrency), S10 (rate), S11 (a task is in one place), S13 (delivery numbers), and the conditional release:
a lease that was given back under an old offer must leave the task where it is. L5: no task is ready for more than two
seconds beside somebody who waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.plan import Argument, Call, Command
from tests.simulation.key_rules import KeyRules, limits_of, names_of
from tests.simulation.ledger import Ledger, QueueImage, Violation
from tests.simulation.totals import Totals
from tests.simulation.turn_rules import TurnRules, shares_of

WRITERS = {"claim", "enqueue", "expedite", "lend", "settle", "remove_task", "set_limits"}
IDLE_MS = 2_100  # claimants look again after two seconds, whatever they have missed
FIXED_KEYS = 6  # meta rec dly lea hld tok; then rdy wait wake of every domain


class QueueRules:
    """Judges the steps in queue slots."""

    def __init__(self, ledger: Ledger, totals: Totals) -> None:
        self._ledger = ledger
        self._totals = totals
        self._turns = TurnRules()
        self._keys = KeyRules()

    def looks(self, call: Call) -> list[tuple[Argument, ...]]:
        """What is read behind a step in this queue."""
        meta, records, delayed, leases, held, _ = call.keys[:FIXED_KEYS]
        domains = _domain_keys(call)
        return [
            ("HGETALL", records),
            ("ZRANGE", delayed, 0, -1),
            ("ZRANGE", leases, 0, -1, "WITHSCORES"),
            ("SMEMBERS", held),
            ("HMGET", meta, "conc", "rate", "window_ms", "dv", "kconc", "krate", "kscan"),
            *(("ZRANGE", ready, 0, -1) for ready in domains[::3]),
            *(("LRANGE", wake, 0, -1) for wake in domains[2::3]),
            *_looks_at_keys(call.keys[FIXED_KEYS + len(domains) :]),
        ]

    def judge(self, call: Call, task_type: str, reply: Any, looks: Sequence[Any], clock_ms: int, now_ms: int) -> None:
        """Compare the queue before and after a step with what the step may do."""
        before = self._ledger.queue(task_type)
        after = _image(call, looks)
        if (looks[4][3] or b"0").decode() != call.args[0]:
            return  # built on an old list of domains: refused, and its keys do not show the whole queue
        self._places(task_type, after)
        self._leases(call, before, after, clock_ms)
        self._keys.places(task_type, before, after)
        concurrency, _, _ = after.limits
        if concurrency and after.taken > max(concurrency, before.taken):
            raise Violation(f"S9: {task_type} has {after.taken} leases and held slots, its limit is {concurrency}")
        if reply[0] == b"OK":
            if call.script == "claim":
                self._grants(call, task_type, reply, before, after)
                self._leaves_nothing(call, task_type, reply, after)
            elif call.script == "lend":
                self._loans(call, task_type, reply, before, after)
            elif call.script == "settle":
                self._releases(call, before, after)
            elif call.script == "enqueue":
                tasks = call.args[9::5] if _is_keyed(call) else call.args[8::4]
                self._ledger.delivered |= {("q", str(task_id)) for task_id in tasks}
                self._handovers(task_type, before, after)
            elif call.script == "remove_task":
                self._turns.called_off(task_type, before, after)
                self._ledger.delivered |= {("r", str(task_id)) for task_id in call.args[1:]}
            elif call.script == "expedite":
                self._ledger.delivered |= {("x", str(task_id)) for task_id in call.args[1:]}
        lost = before.records.keys() - after.records.keys()
        if lost and call.script not in ("settle", "lend", "remove_task", "claim"):
            raise Violation(f"S11: {call.script} made {lost} vanish from {task_type}")
        since = before.ready_since
        after.ready_since = {task_id: since.get(task_id, now_ms) for names in after.ready for task_id in names}
        self._ledger.queues[task_type] = after

    def put_back(self, step: Command, task_type: str) -> None:
        """Somebody returned a wake-up token that was of no use to him."""
        image = self._ledger.queue(task_type)
        _, key, token = step.words
        image.wakes[image.wake_keys.index(str(key))].insert(
            0, token if isinstance(token, bytes) else str(token).encode()
        )

    def nothing_waits(self, task_types: Sequence[str], since_ms: int, now_ms: int) -> None:
        """See ``Rules.nothing_waits``; where limits hold, a task may wait for these."""
        for task_type in task_types:
            image = self._ledger.queue(task_type)
            if any(image.limits[:2]) or not image.ready:
                continue
            for task_id in image.ready[0]:
                waited_ms = now_ms - max(image.ready_since[task_id], since_ms)
                if waited_ms > IDLE_MS:
                    raise Violation(f"L5: {task_id} of {task_type} is ready for {waited_ms} ms beside an idle claimant")

    def _leaves_nothing(self, call: Call, task_type: str, reply: Any, after: QueueImage) -> None:
        if any(after.limits[:2]):
            return
        asked, given = min(int(call.args[2]), 100), len(reply[4:]) // 4
        left = after.ready[int(call.args[1])]
        if given < asked and left:
            raise Violation(f"L5: {given} of {asked} tasks of {task_type} were granted, and {left} stayed ready")

    def _loans(self, call: Call, task_type: str, reply: Any, before: QueueImage, after: QueueImage) -> None:
        """A lent task keeps its slot among the delayed ones; under another number than its own nothing happens to it."""
        for index, word in enumerate(reply[1:]):
            _, task_id, delivery, _ = map(str, call.args[1 + 4 * index : 5 + 4 * index])
            known = before.records.get(task_id)
            if word == b"OK" and (known is None or known.split()[0] != delivery):
                raise Violation(f"S13: {task_id} was lent as {delivery}, its record was {known}")
            if word == b"OK" and not (task_id in after.delayed and task_id in after.held):
                raise Violation(f"S9: {task_id} of {task_type} was lent and has no slot, or is not among the delayed")
            if word == b"CANCELLED" and task_id in after.records:
                raise Violation(f"S11: {task_id} of {task_type} is cancelled and was not forgotten")

    def _places(self, task_type: str, image: QueueImage) -> None:
        places = [*image.ready, image.delayed, set(image.leases), image.kept]
        everywhere = set().union(*places)
        if sum(map(len, places)) != len(everywhere):
            raise Violation(f"S11: a task of {task_type} is in two places: {image}")
        if everywhere != image.records.keys():
            raise Violation(f"S11: places and records of {task_type} differ: {everywhere ^ image.records.keys()}")
        if not image.held <= everywhere - image.leases.keys():
            raise Violation(f"S11: held tasks of {task_type} are leased or nowhere: {image}")

    def _leases(self, call: Call, before: QueueImage, after: QueueImage, clock_ms: int) -> None:
        named = set(map(str, call.args)) if call.script in ("settle", "lend") else set()
        for task_id in before.leases.keys() - after.leases.keys():
            if task_id not in named and before.leases[task_id] > clock_ms:
                raise Violation(f"S13: {call.script} took the lease of {task_id} before its end")

    def _grants(self, call: Call, task_type: str, reply: Any, before: QueueImage, after: QueueImage) -> None:
        now, granted, grants = reply[1], reply[4:], list[tuple[str, bool]]()
        under_way = {token.decode().rsplit(" ", 2)[0] for tokens in before.wakes for token in tokens}
        for at in range(0, len(granted), 4):
            task_id, delivery = granted[at].decode(), granted[at + 1]
            if task_id not in after.leases:
                raise Violation(f"S11: {task_id} was granted without a lease")
            if f"{task_id} {delivery}" in under_way and before.leases.get(task_id, 0) > now:
                continue  # it was handed over to nobody in particular: whoever claims takes it over
            known = int(before.records[task_id].split()[0])
            if delivery != known + 1:
                raise Violation(f"S13: {task_id} was granted as delivery {delivery} after {known}")
            grants.append((task_id, delivery == 1))
            attempt = self._ledger.attempts.get(task_id)
            if attempt is not None:
                if attempt.accepted is None and attempt.is_open and delivery <= attempt.delivered:
                    raise Violation(f"S13: {task_id} was granted as {delivery} again, {attempt.delivered} was given")
                attempt.delivered = delivery
        self._turns.grants(task_type, int(call.args[1]), grants, before, after)
        self._keys.grants(task_type, (task_id for task_id, _ in grants), after, now)
        count = len(granted) // 4
        _, rate, window = after.limits
        log = self._ledger.grants.setdefault(task_type, [])
        if count:
            log.append((now, count))
        if rate and count:
            recent = sum(size for at, size in log if at > now - window)
            if recent > rate:
                raise Violation(
                    f"S10: {recent} tasks of {task_type} within {window} ms, the rate is {rate}: {log[-9:]}"
                )

    def _handovers(self, task_type: str, before: QueueImage, after: QueueImage) -> None:
        """What was leased along with a wake-up: new tasks of a queue that nothing limits."""
        for task_id in after.leases.keys() - before.leases.keys():
            if any((*after.limits[:2], *after.key_limits)):
                raise Violation(f"S9: {task_id} was handed over although {task_type} has limits {after.limits}")
            if task_id in before.records:
                raise Violation(f"S13: {task_id} was handed over although it was in {task_type} before")
            record = after.records[task_id].split()
            if not any(token.decode().split()[:3] == [task_id, *record[:2]] for ts in after.wakes for token in ts):
                raise Violation(f"S13: {task_id} is leased by an enqueue, and nobody is told of {record[:2]}")
            if task_id in self._ledger.attempts:
                self._ledger.attempts[task_id].delivered = int(record[0])

    def _releases(self, call: Call, before: QueueImage, after: QueueImage) -> None:
        named = [tuple(map(str, call.args[at : at + 4])) for at in range(1, len(call.args), 5)]
        by_number = {(task_id, delivery): (kind, offer) for kind, task_id, delivery, offer in named}
        for _, task_id, _, _ in named:
            record = before.records.get(task_id)
            if record is None:
                continue
            delivery, offer = record.split()[:2]
            said = by_number.get((task_id, delivery))
            if said is None and task_id in before.leases and task_id not in after.leases:
                raise Violation(f"S13: {task_id} is out as {delivery} and was released by {named}")
            is_wanted = not record.endswith("x") and task_id not in after.records
            if said is not None and said[0] == "done" and said[1] != offer and is_wanted:
                raise Violation(f"S15: {task_id} was offered anew ({offer}), a release of {said[1]} removed it")


def _is_keyed(call: Call) -> bool:
    return str(call.args[0]).endswith("k")


def _domain_keys(call: Call) -> Sequence[str]:
    domains = int(str(call.args[0]).removesuffix("k")) + 1
    return call.keys[FIXED_KEYS : FIXED_KEYS + 3 * domains]


def _looks_at_keys(names: Sequence[str]) -> list[tuple[Argument, ...]]:
    return [("HGETALL", names[0]), ("ZRANGE", names[2], 0, -1)] if names else []


def _image(call: Call, looks: Sequence[Any]) -> QueueImage:
    records, delayed, leases, held, limits, *rest = looks
    kept, keyed = (rest.pop(), rest.pop()) if _is_keyed(call) else ([], [])
    domains = len(rest) // 2
    texts = {name.decode(): value.decode() for name, value in zip(records[::2], records[1::2], strict=True)}
    ends = {name.decode(): float(end) for name, end in zip(leases[::2], leases[1::2], strict=True)}
    concurrency, rate, window, each_concurrency, each_rate = (int(value or 0) for value in (*limits[:3], *limits[4:6]))
    return QueueImage(
        records=texts,
        ready=tuple({name.decode() for name in names} for names in rest[:domains]),
        delayed={name.decode() for name in delayed},
        leases=ends,
        held={name.decode() for name in held},
        limits=(concurrency, rate, window),
        shares=shares_of(keyed),
        keys=limits_of(keyed),
        kept=names_of(kept),
        key_limits=(each_concurrency, each_rate),
        is_scanned=limits[6] is not None,
        wake_keys=tuple(map(str, _domain_keys(call)[2::3])),
        wakes=tuple(rest[domains:]),
    )
