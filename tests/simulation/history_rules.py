"""The rules of history: what the commits of one workflow may write, one after the other.

S3 versions, S5 a decision made again gives the same bytes, S6 the numbering of attempts, S7 joins, S8 failure workflows.
Task records are read as plain lists, by position, as the record formats promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation.gate_rules import GateRules
from tests.simulation.ledger import ENDED, OPEN_RESULTS, Attempt, Ledger, Run, Violation, unpacked
from tests.simulation.sections import SectionView
from tests.simulation.workload import TASK_TYPES, Workload

REF, TYPE, NAME, ATTEMPT, GENERATION, ITERATION, INPUT = 1, 2, 3, 5, 6, 7, 16  # positions in a Scheduled record
STATUS, CHILD_RUN = 1, 13  # positions in a Result record
CORE_GENERATION = 3  # position in a Core record


class HistoryRules:
    """Judges accepted sections."""

    def __init__(self, ledger: Ledger, workload: Workload) -> None:
        self._ledger = ledger
        self._may_be_retried = 0
        self._workload = workload
        self._gates = GateRules(ledger, workload.at_once)

    def judge(self, section: SectionView, kinds: Sequence[bytes]) -> None:
        """One section was accepted, for events of these kinds."""
        run = self._ledger.runs.get(section.workflow_id)
        if run is None or run.is_removed:
            raise Violation(f"S3: a commit wrote to {section.workflow_id}, which does not exist")
        if section.base != str(run.version):
            raise Violation(f"S3: {run.workflow_id} is at version {run.version}, a commit on {section.base} was taken")
        run.version += 1
        self._records(run, section)
        self._dispatch(run, section)
        self._status(run, section)

    def compare(self, section: SectionView, kinds: Sequence[bytes]) -> None:
        """S5: the same events on the same version make the same bytes, whoever computes them and however often."""
        if section.has("X") or not set(kinds) <= {b"start", b"task", b"go"}:
            return  # these also depend on dispatch truth, which may have moved between two computations
        place = (section.workflow_id, section.base, section.events)
        text = section.text()
        known = self._ledger.sections.setdefault(place, text)
        if known != text:
            raise Violation(f"S5: {place} was decided twice, and not alike:\n{known!r}\n{text!r}")

    # --- records ----------------------------------------------------------------------------------------------------------

    def _records(self, run: Run, section: SectionView) -> None:
        written = {name: unpacked(value) for name, value in section.records.items()}
        if section.has("U"):  # it starts over
            run.records.clear()
            run.joins_ended.clear()
            for attempt in self._ledger.attempts.values():
                attempt.is_wiped |= attempt.workflow_id == run.workflow_id
        for name in section.dropped("w"):
            self._dropped(run, name)
        self._may_be_retried = int(unpacked(section.fields["c"])[CORE_GENERATION])
        for name, record in written.items():
            if name[0] == "S" and "\n" not in name:
                self._attempt(run, name, record, written)
        before = dict(run.records)
        ended_before = {name for name, record in before.items() if name[0] == "R" and record[STATUS] not in _OPEN}
        for name, record in written.items():
            run.records[name] = record
            if name[0] == "R" and name in ended_before and record[STATUS] in _OPEN:
                self._reopened(run, name[1:], section)
        for name, record in written.items():
            if name[0] == "R" and "\n" not in name and record[STATUS] not in _OPEN:
                if name in ended_before and f"S{name[1:]}" not in written and _is_note(before[name], record):
                    continue
                self._ended(run, name[1:], record, name in ended_before, written)

    def _dropped(self, run: Run, name: str) -> None:
        """A rerun drops tasks as if they had never been."""
        record = run.records.pop(name, None)
        if name[0] != "S" or record is None:
            return
        run.joins_ended.discard(record[REF])
        for attempt in self._ledger.attempts.values():
            one = (attempt.ref, attempt.number, attempt.generation)
            attempt.is_wiped |= attempt.workflow_id == run.workflow_id and one == (
                record[REF],
                record[ATTEMPT],
                record[GENERATION],
            )

    def _attempt(self, run: Run, name: str, record: list[Any], written: dict[str, list[Any]]) -> None:
        known = run.records.get(name)
        number = record[ATTEMPT]
        place = f"{run.workflow_id} {record[REF]} attempt {number}"
        if known is None:
            # A decision over several events may make an attempt, see it fail and make the next one.
            earliest = min(
                (old[ATTEMPT] for key, old in written.items() if key.startswith(f"{name}\n")), default=number
            )
            expected = 0
        else:
            earliest, expected = number, known[ATTEMPT] + 1
        if earliest != expected and not (known is not None and number > expected):
            raise Violation(f"S6: {place} follows {known}")
        if number > 0:
            earlier = f"{record[REF]}\n{number - 1}."
            names = [key[1:] for key in written if key[0] == "R" and key[1:].startswith(earlier)]
            former = written[f"R{names[0]}"] if names else None
            if former is None or former[STATUS] in _OPEN:
                raise Violation(f"S6: {place} was made while the one before it was not over: {former}")
            # Every time that an operator makes the workflow go on, a task may get one attempt more.
            if number > self._workload.retry_limit(record[NAME]) + self._may_be_retried:
                raise Violation(f"S6: {place} is beyond the retries of {record[NAME]}")

    def _reopened(self, run: Run, ref: str, section: SectionView) -> None:
        """Only what an operator makes go on goes on in place: JOINs, and tasks that are children that go on."""
        type_ = run.records[f"S{ref}"][TYPE]
        core = unpacked(section.fields["c"])
        if type_ not in ("JOIN", "SUB_WORKFLOW") or (type_ == "JOIN" and core[CORE_GENERATION] == run.generation):
            raise Violation(f"S4: {run.workflow_id} {ref}, a {type_}, had ended and is open again")
        run.joins_ended.discard(ref)

    def _ended(self, run: Run, ref: str, record: list[Any], was_ended: bool, written: dict[str, list[Any]]) -> None:
        made = run.records.get(f"S{ref}")
        if made is None:
            raise Violation(f"S6: {run.workflow_id} {ref} has a result and was never scheduled")
        if made[TYPE] == "JOIN" and was_ended and self._may_be_retried > run.generation:
            run.joins_ended.discard(ref)  # it waited again, for nothing that was not done
        elif was_ended and f"S{ref}" not in written:
            raise Violation(f"S4: the result of {run.workflow_id} {ref} was written again: {record}")
        if made[TYPE] != "JOIN":
            return
        if ref in run.joins_ended:
            raise Violation(f"S7: join {ref} of {run.workflow_id} ended twice")
        run.joins_ended.add(ref)
        if record[STATUS] == "CANCELED":
            return
        for name in made[INPUT]["joinOn"]:
            member = f"{name}__{made[ITERATION]}" if made[ITERATION] else name
            result = run.records.get(f"R{member}")
            if f"S{member}" in run.records and (result is None or result[STATUS] in _OPEN):
                raise Violation(f"S7: join {ref} of {run.workflow_id} ended before its member {member}")
            if f"S{member}" not in run.records:
                raise Violation(f"S7: join {ref} of {run.workflow_id} ended before {member} was scheduled")

    # --- dispatch entries -------------------------------------------------------------------------------------------------

    def _dispatch(self, run: Run, section: SectionView) -> None:
        for suffix in section.dropped("d"):
            self._ledger.close(f"{run.workflow_id}-{suffix}")
        for suffix, text in section.opened():
            task_id = f"{run.workflow_id}-{suffix}"
            ref = str(text).split(" ", 8)[8]
            made = run.records[f"S{ref}"]
            known = self._ledger.attempts.get(task_id)
            if known is not None and known.type == "SUB_WORKFLOW":  # its child goes on
                known.is_open, known.accepted = True, None
                continue
            if known is not None:
                raise Violation(f"S6: {task_id} was opened twice")
            attempt = Attempt(task_id, run.workflow_id, ref, made[TYPE], made[ATTEMPT], made[GENERATION])
            self._ledger.attempts[task_id] = attempt
            if made[TYPE] in TASK_TYPES:
                self._ledger.waiting[task_id] = attempt

    def _status(self, run: Run, section: SectionView) -> None:
        core = unpacked(section.fields["c"])
        status = section.fields.get("s", run.status)
        if status != core[1]:
            raise Violation(f"S17: {run.workflow_id} is {core[1]} in its core and {status} in its index field")
        goes_on = core[CORE_GENERATION] > run.generation
        if run.status in ENDED and status != run.status and status != "TERMINATED" and not goes_on:
            raise Violation(f"S4: {run.workflow_id} had ended {run.status} and became {status}")
        for ref, join in core[15].items():
            if not 0 < join[0] <= join[1]:
                raise Violation(f"S7: join {ref} of {run.workflow_id} waits for {join[0]} of {join[1]}")
        self._gates.committed(run, core, str(status))
        run.status, run.generation = str(status), core[CORE_GENERATION]
        if run.status in ENDED:
            run.ends.setdefault(run.generation, run.status)  # terminating what has ended changes its name only


def _is_note(before: list[Any], after: list[Any]) -> bool:
    """Whether an ended task only learned that its child goes on without it."""
    unchanged = before[:CHILD_RUN] == after[:CHILD_RUN] and before[CHILD_RUN + 1 :] == after[CHILD_RUN + 1 :]
    return unchanged and before[CHILD_RUN] < after[CHILD_RUN]


_OPEN = OPEN_RESULTS
