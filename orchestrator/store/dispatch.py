"""Dispatch truth: which attempts are open, who may run them, whose word on them counts.

The commit opens and closes attempts; ``start_task``, ``accept`` and ``touch`` move them. The queue only proposes: a
worker sees a task after ``start_task`` said OK, and its word counts when ``accept`` said OK. Each function takes a
batch of tasks of one partition; nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.ids import suffix_of, workflow_id_of
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys
from orchestrator.store.verdicts import VERDICTS, Verdict

TELLS = "+"
"""In place of a claimant while there is none: the first one's start is put into the inbox."""

OUTSIDE = -1  # the delivery number of a report without a lease: by id, from outside, from a child


class Dispatch(NamedTuple):
    """The dispatch entry of an open attempt.

    ``state``: S scheduled, R running, A accepted (its end is in the inbox), W waits for an outside event. Times in ms,
    0 = never; ``timeout_ms`` and ``response_ms`` 0 = no limit.
    """

    state: str
    delivery: int
    started_ms: int
    touched_ms: int
    polls: int
    timeout_ms: int
    response_ms: int
    claimant: str
    ref: str

    @property
    def text(self) -> str:
        """As it is stored; the reference is last because it may contain spaces."""
        return " ".join(map(str, self))


class Claimed(NamedTuple):
    """One delivery of a task attempt, as claimed from its queue."""

    task_id: str
    delivery: int


class Report(NamedTuple):
    """What a claimant says of a task: ``body`` is a packed ``Outcome``, ``is_final`` whether it ended the attempt.

    ``is_parked``: it goes on without a worker; only a report from outside can end it. ``is_kept``: whoever has it keeps
    it, this is only news of it.
    """

    task_id: str
    delivery: int
    is_final: bool
    body: bytes
    is_parked: bool = False
    is_kept: bool = False


class Started(NamedTuple):
    """The claimant may run the task: packed ``Scheduled`` and ``Meta``, and when the attempt first started.

    ``polls``: how often it was handed out, now included; ``response_ms`` as in ``Dispatch``.
    """

    scheduled: bytes
    meta: bytes
    started_ms: int
    polls: int
    response_ms: int


class OpenAttempt(NamedTuple):
    """An attempt that has not ended: its entry, its packed ``Scheduled``, and the version of its workflow."""

    dispatch: Dispatch
    scheduled: bytes
    version: bytes


def open_task(
    ref: str, *, state: str = "S", timeout_ms: int = 0, response_ms: int = 0, tells_start: bool = False
) -> str:
    """The dispatch text of a new attempt; ``tells_start``: its first start is put into the inbox.

    Example: ``open_task("charge", timeout_ms=60_000)``
    """
    return f"{state} 0 0 0 0 {timeout_ms} {response_ms} {TELLS if tells_start else '-'} {ref}"


def parse_dispatch(text: bytes) -> Dispatch:
    """The entry of a stored text; raises ``ValueError`` when it is damaged."""
    state, delivery, started, touched, polls, timeout, response, claimant, ref = text.decode().split(" ", 8)
    numbers = (int(delivery), int(started), int(touched), int(polls), int(timeout), int(response))
    return Dispatch(state, *numbers, "-" if claimant == TELLS else claimant, ref)


def start_task(keys: Keys, partition: int, claimant: str, claims: Sequence[Claimed]) -> Call:
    """Confirm claimed tasks before anybody runs them; decodes to a list of ``Started`` or a refusing ``Verdict``.

    GONE: drop it from the queue. STALE: a later delivery has it, leave it alone. The first start of an attempt is kept
    over its deliveries. At most 100 claims.
    """
    batch = _Batch(keys, partition, [keys.timers(partition), keys.inbox(partition)], whole=True)
    args: list[Argument] = [claimant_word(claimant), len(claims)]
    for claim in claims:
        args += (*batch.task(claim.task_id), claim.delivery)
    return Call("start_task", batch.names, args, _started)


def attempt(keys: Keys, partition: int, task_id: str) -> Call:
    """Look at one attempt; decodes to ``OpenAttempt``, ``None`` when it is not open. Reads only."""
    workflow_id = workflow_id_of(task_id)
    names = (keys.workflow(partition, workflow_id), keys.dispatch(partition, workflow_id))
    return Call("attempt", names, (suffix_of(task_id),), _attempt)


def state_of(keys: Keys, partition: int, task_id: str) -> Command:
    """The state of an attempt's entry, '' when it is over; decodes to ``str``."""
    words = ("HGET", keys.dispatch(partition, workflow_id_of(task_id)), suffix_of(task_id))
    return Command(words, lambda text: "" if text is None or text.startswith(b"A") else text[:1].decode())


def accept(keys: Keys, partition: int, claimant: str, reports: Sequence[Report]) -> Call:
    """Take reports into the inbox; decodes to a list of ``Verdict``: OK, DUP, STALE, GONE or CORRUPT.

    After OK, DUP and GONE the queue may forget the delivery. Reports without a lease carry delivery ``OUTSIDE``.
    """
    batch = _Batch(keys, partition, [keys.inbox(partition), keys.timers(partition)])
    args: list[Argument] = [claimant_word(claimant), len(reports)]
    for report in reports:
        kind = 1 if report.is_final else 2 if report.is_parked else 3 if report.is_kept else 0
        args += (*batch.task(report.task_id), report.delivery, kind, report.body)
    return Call("accept", batch.names, args, _verdicts, durable=True)


def touch(keys: Keys, partition: int, claimant: str, claims: Sequence[Claimed]) -> Call:
    """Signs of life: restart the response time-out of running tasks; decodes to a list of ``Verdict``."""
    batch = _Batch(keys, partition, [keys.timers(partition), keys.inbox(partition)])
    args: list[Argument] = [claimant_word(claimant), len(claims)]
    for claim in claims:
        args += (*batch.task(claim.task_id), claim.delivery)
    return Call("touch", batch.names, args, _verdicts)


def claimant_word(claimant: str) -> str:
    """A claimant's name as it can stand inside a dispatch text: no spaces, '-' for nobody."""
    return "_".join(claimant.split()) or "-"


class _Batch:
    """KEYS of a batch: each workflow once, its d alone or d and w together."""

    __slots__ = ("_keys", "_partition", "_places", "_whole", "names")

    def __init__(self, keys: Keys, partition: int, names: list[str], *, whole: bool = False) -> None:
        self.names = names
        self._keys = keys
        self._partition = partition
        self._whole = whole
        self._places: dict[str, int] = {}

    def task(self, task_id: str) -> tuple[int, str, str]:
        workflow_id = workflow_id_of(task_id)
        place = self._places.get(workflow_id)
        if place is None:
            place = self._places[workflow_id] = len(self.names) + 1
            self.names.append(self._keys.dispatch(self._partition, workflow_id))
            if self._whole:
                self.names.append(self._keys.workflow(self._partition, workflow_id))
        return place, workflow_id, suffix_of(task_id)


def _started(reply: Any) -> list[Started | Verdict]:
    return [Started(*item[1:]) if item[0] == b"OK" else VERDICTS[item[0]] for item in reply]


def _attempt(reply: Any) -> OpenAttempt | None:
    return OpenAttempt(parse_dispatch(reply[0]), reply[1], reply[2]) if reply else None


def _verdicts(reply: Any) -> list[Verdict]:
    return [VERDICTS[item] for item in reply]
