"""What happened, written down outside of Redis by everybody who took part, and the checker that reads it at the end.

Workers note every grant, start and end of a task and every verdict on an outcome; the client notes every start that
was acknowledged; the killer notes every kill. Each process has a file of its own, opened for appending, and writes
each entry at once as one line, so that a SIGKILL costs at most the entry that was about to be written. All times but
those of grants are of the machine's monotonic clock, which all its processes share. Nothing here talks to Redis or
knows how the product works.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

SUFFIX = ".journal"


class Journal:
    """What the process ``who`` notes, in a file of its own in ``folder``.

    Example: ``Journal(folder, who="worker-1.1").note("started", task_id="...", delivery=1)``
    """

    def __init__(self, folder: Path, who: str) -> None:
        self._who = who
        self._file = os.open(folder / f"{who}{SUFFIX}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, what: str, **fields: Any) -> None:
        """Write one entry down."""
        entry = {"what": what, "at": time.monotonic(), "who": self._who, **fields}
        os.write(self._file, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """Write nothing more."""
        os.close(self._file)


Entry = Mapping[str, Any]


def entries_of(folder: Path) -> list[Entry]:
    """All complete entries of all journals in ``folder``, in the order of their times."""
    lines = [line for path in folder.glob(f"*{SUFFIX}") for line in path.read_bytes().split(b"\n")[:-1]]
    return sorted((json.loads(line) for line in lines), key=lambda entry: float(entry["at"]))


class Limit(NamedTuple):
    """What a task type is limited to; 0 is no limit."""

    at_once: int = 0
    grants: int = 0
    window_ms: int = 1_000


class Ended(NamedTuple):
    """How one workflow stands at the end, as the product tells it: ``outcomes`` are (task id, reference, status).

    ``became`` is what the work led to and ``expected`` what it had to lead to, judged by its input alone.
    """

    status: str
    outcomes: Sequence[tuple[str, str, str]] = ()
    reason: str | None = None
    became: str = ""
    expected: str = ""


class Violation(NamedTuple):
    """One broken promise."""

    kind: str
    what: str


@dataclass
class Finding:
    """The result of a check: what was broken, and figures that are merely told."""

    violations: list[Violation] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, what: str) -> None:
        """Note a broken promise."""
        self.violations.append(Violation(kind, what))


class Run(NamedTuple):
    """One execution of a task's code, cut at its death or at the end of its lease."""

    task_id: str
    task_type: str
    start: float
    end: float


TERMINAL = {"COMPLETED", "FAILED", "TERMINATED", "TIMED_OUT"}
OPEN = {"SCHEDULED", "IN_PROGRESS"}


def check(
    entries: Sequence[Entry],
    workflows: Mapping[str, Ended],
    charges: Iterable[tuple[str, str]],
    limits: Mapping[str, Limit],
) -> Finding:
    """Join what was noted with how it ended.

    ``workflows`` holds every workflow known at the end, by id; ``charges`` are (idempotency key, order) of the payment
    service; ``limits`` are by task type. Example: ``assert not check(entries, workflows, charges, limits).violations``
    """
    finding = Finding()
    _check_lost(finding, entries, workflows)
    _check_became(finding, workflows)
    _check_accepted(finding, entries, workflows)
    _check_charges(finding, charges)
    runs = runs_of(entries)
    _check_alone(finding, runs)
    for task_type, limit in limits.items():
        _check_at_once(finding, task_type, limit, [run for run in runs if run.task_type == task_type])
        _check_rate(finding, task_type, limit, entries, runs)
    _tell(finding, entries, workflows, runs)
    return finding


def _check_lost(finding: Finding, entries: Sequence[Entry], workflows: Mapping[str, Ended]) -> None:
    acknowledged = {str(entry["workflow_id"]) for entry in entries if entry["what"] == "acknowledged"}
    for workflow_id in sorted(acknowledged | set(workflows)):
        ended = workflows.get(workflow_id)
        if ended is None:
            finding.add("lost", f"{workflow_id} was acknowledged and does not exist")
        elif ended.status not in TERMINAL:
            open_ = ", ".join(f"{ref} {status}" for _, ref, status in ended.outcomes if status in OPEN)
            finding.add("lost", f"{workflow_id} is {ended.status}: {ended.reason or open_ or 'nothing is open'}")


def _check_became(finding: Finding, workflows: Mapping[str, Ended]) -> None:
    """A crash may delay what happens to an order; it must not decide it."""
    for workflow_id, ended in workflows.items():
        if ended.status in TERMINAL and ended.became != ended.expected:
            told = f"{workflow_id} became {ended.became!r}, not {ended.expected!r}: {ended.reason}"
            finding.add("other outcome", told)


def _check_accepted(finding: Finding, entries: Sequence[Entry], workflows: Mapping[str, Ended]) -> None:
    """An outcome that was taken is taken once, and is in the history; a step has one success."""
    finished = {_delivery(entry): str(entry["status"]) for entry in entries if entry["what"] == "finished"}
    reported = [entry for entry in entries if entry["what"] == "reported" and entry["word"] == "OK"]
    for task_id, times in Counter(str(entry["task_id"]) for entry in reported).items():
        if times > 1:
            finding.add("accepted twice", f"{task_id}: {times} outcomes were taken")
    history = {task_id: status for ended in workflows.values() for task_id, _, status in ended.outcomes}
    for entry in reported:
        task_id, status = str(entry["task_id"]), finished.get(_delivery(entry))
        if history.get(task_id) != status:
            finding.add("outcome lost", f"{task_id}: {status} was taken, its history says {history.get(task_id)}")
    for workflow_id, ended in workflows.items():
        for ref, times in Counter(ref for _, ref, status in ended.outcomes if status == "COMPLETED").items():
            if times > 1:
                finding.add("accepted twice", f"{workflow_id}: step {ref} completed {times} times")


def _check_charges(finding: Finding, charges: Iterable[tuple[str, str]]) -> None:
    for order, times in Counter(order for _, order in charges).items():
        if times > 1:
            finding.add("charged twice", f"order {order} was charged under {times} different keys")


# --- executions -----------------------------------------------------------------------------------------------------


def runs_of(entries: Sequence[Entry]) -> list[Run]:
    """Every execution: it ends when its code ended, its lease ended or its worker was killed, whatever came first."""
    ends = {str(entry["process"]): float(entry["at"]) for entry in entries if entry["what"] == "killed"}
    open_: dict[Delivery, Entry] = {}
    lost: dict[Delivery, float] = {}
    runs: list[Run] = []
    for entry in entries:
        if entry["what"] == "started":
            open_[_delivery(entry)] = entry
        elif entry["what"] == "lease_lost":
            lost[_delivery(entry)] = float(entry["at"])
        elif entry["what"] == "finished" and _delivery(entry) in open_:
            end = min(float(entry["at"]), float(entry["lease_end_s"]))
            runs.append(_run(open_.pop(_delivery(entry)), end))
    for delivery, began in open_.items():
        # Killed in the middle. Its last lease end is not known, so it counts until its death: long rather than short.
        runs.append(_run(began, min(ends.get(delivery.who, float("inf")), lost.get(delivery, float("inf")))))
    return sorted(runs, key=lambda run: run.start)


class Delivery(NamedTuple):
    """One hand-over of a task to one process."""

    who: str
    task_id: str
    number: int


def _delivery(entry: Entry) -> Delivery:
    return Delivery(str(entry["who"]), str(entry["task_id"]), int(entry["delivery"]))


def _run(began: Entry, end: float) -> Run:
    start = float(began["at"])
    return Run(str(began["task_id"]), str(began["task_type"]), start, max(start, end))


def _check_alone(finding: Finding, runs: Sequence[Run]) -> None:
    """Under valid leases no task runs at two places at once."""
    by_task: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.task_id].append(run)
    for task_id, own in by_task.items():
        for earlier, later in pairwise(own):
            if later.start < earlier.end:
                finding.add("ran at two places", f"{task_id}: for {earlier.end - later.start:.3f} s")


def at_once(runs: Sequence[Run]) -> int:
    """The most executions that overlapped in time."""
    changes = sorted([(run.start, 1) for run in runs] + [(run.end, -1) for run in runs])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _check_at_once(finding: Finding, task_type: str, limit: Limit, runs: Sequence[Run]) -> None:
    most = at_once(runs)
    finding.figures[f"{task_type}: most at once"] = f"{most} of {limit.at_once or 'unlimited'}"
    if limit.at_once and most > limit.at_once:
        finding.add("too many at once", f"{task_type}: {most} ran at once, {limit.at_once} are allowed")


def most_in_window(times: Sequence[float], window: float) -> int:
    """The most of ``times`` in any half-open window of that length."""
    ordered = sorted(times)
    most = first = 0
    for last, time_ in enumerate(ordered):
        while time_ - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def _check_rate(finding: Finding, task_type: str, limit: Limit, entries: Sequence[Entry], runs: Sequence[Run]) -> None:
    """Counted by the times of the grants; by the starts of the code it is only told, since a start comes later."""
    if not limit.grants:
        return
    granted = [
        float(entry["granted_ms"])
        for entry in entries
        if entry["what"] == "claimed" and entry["task_type"] == task_type
    ]
    most = most_in_window(granted, limit.window_ms)
    started = most_in_window([run.start * 1000 for run in runs if run.task_type == task_type], limit.window_ms)
    finding.figures[f"{task_type}: most grants in {limit.window_ms} ms"] = f"{most} of {limit.grants}"
    finding.figures[f"{task_type}: most starts in {limit.window_ms} ms"] = started
    if most > limit.grants:
        finding.add("too many in a window", f"{task_type}: {most} in {limit.window_ms} ms, {limit.grants} are allowed")


def _tell(finding: Finding, entries: Sequence[Entry], workflows: Mapping[str, Ended], runs: Sequence[Run]) -> None:
    figures = finding.figures
    kills = Counter(str(entry["role"]) for entry in entries if entry["what"] == "killed")
    figures["kills"] = sum(kills.values())
    figures["kills by role"] = ", ".join(f"{role} {count}" for role, count in sorted(kills.items())) or "none"
    figures["workflows"] = len(workflows)
    figures["workflows by status"] = ", ".join(
        f"{status} {count}" for status, count in sorted(Counter(ended.status for ended in workflows.values()).items())
    )
    figures["attempts"] = len({run.task_id for run in runs})
    figures["executions again"] = len(runs) - len({run.task_id for run in runs})
    progress = sorted(float(entry["at"]) for entry in entries if entry["what"] == "reported")
    figures["longest stall, s"] = round(max((b - a for a, b in pairwise(progress)), default=0.0), 2)
