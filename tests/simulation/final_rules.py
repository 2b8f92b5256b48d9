"""The rules of the whole store: checked now and then while a world runs, and thoroughly when it has come to rest.

They read everything raw: S1 acknowledged starts, S4 outcomes in the final records, S8 failure workflows, S17 indexes,
S19 keys and their life times. ``is_quiet`` says whether nothing is left to be done anywhere.
"""

from __future__ import annotations

from typing import Any

from orchestrator.store.keys import STATE_FIELDS, Keys
from tests.simulation.clients import STATUSES
from tests.simulation.disk import Disk
from tests.simulation.family_rules import CHILD_ID, FamilyRules
from tests.simulation.gate_rules import GateRules
from tests.simulation.history_rules import STATUS
from tests.simulation.hook_rules import HookRules
from tests.simulation.ledger import ENDED, Attempt, Ledger, Run, Violation, unpacked
from tests.simulation.mailbox_rules import MailboxRules
from tests.simulation.workload import Workload

FAILED_AS = {"COMPLETED_WITH_ERRORS"}  # how an optional task's failure is recorded


class FinalRules:
    """Judges the store as a whole."""

    def __init__(self, ledger: Ledger, keys: Keys, disk: Disk, workload: Workload, hooks: HookRules) -> None:
        self._hooks = hooks
        self._ledger = ledger
        self._keys = keys
        self._disk = disk
        self._workload = workload

    def no_task_is_lost(self) -> None:
        """S15: every open task of a worker without an outcome is in its queue or on its way there, at every moment."""
        for task_id, attempt in self._ledger.waiting.items():
            if task_id in self._ledger.queue(attempt.type).records:
                continue
            run = self._ledger.runs[attempt.workflow_id]
            if task_id not in self._ledger.partition(run.partition).offered:
                raise Violation(f"S15: {task_id} ({attempt.ref}) is open, not queued and not in the outbox")

    def no_event_waits(self, events: set[str]) -> None:
        """L2: none of these is in an inbox any more."""
        for name, image in self._ledger.partitions.items():
            if left := events & image.events.keys():
                raise Violation(f"L2: partition {name} has not moved on, it still holds {left}; owner {image.owner}")

    def no_lease_is_forgotten(self, task_type: str, ended_ms: int) -> None:
        """L2: no lease ended before that time without anybody noticing."""
        for task_id, end in self._ledger.queue(task_type).leases.items():
            if end < ended_ms:
                raise Violation(f"L2: the lease of {task_id} ended {ended_ms - end:.0f} ms too long ago")

    def indexes_match(self) -> None:
        """S17: every decided workflow is in the index of its status and in no other."""
        for number in range(self._keys.partitions):
            runs = [r for r in self._ledger.runs.values() if r.partition == str(number) and r.version]
            replies = self._disk.ask([("ZRANGE", self._keys.by_status(number, s), 0, -1) for s in STATUSES])
            found = [(name.decode(), s) for s, names in zip(STATUSES, replies, strict=True) for name in names]
            wanted = [(run.workflow_id, run.status) for run in runs if not run.is_removed]
            if sorted(found) != sorted(wanted):
                raise Violation(f"S17: the indexes of partition {number} hold {found}, the states are {wanted}")
        self._hooks.indexes_match(self._disk)

    def is_quiet(self) -> bool:
        """Whether every workflow has ended and no event, hand-off, timer or queued task is left."""
        runs, ledger = self._ledger.runs, self._ledger
        if any(order.workflow_id not in runs for order, _, _ in ledger.acks):
            return not any(verdict == "OK" and wid not in runs for _, verdict, wid in ledger.acks) and self._is_idle()
        return self._is_idle()

    def _is_idle(self) -> bool:
        ledger = self._ledger
        if (
            not self._hooks.is_idle()
            or ledger.quarantined
            or any(r.status not in ENDED and not r.is_removed for r in ledger.runs.values())
        ):
            return False
        if any(image.events or image.outbox for image in ledger.partitions.values()):
            return False
        # Who removes a workflow by force leaves its timers behind, unless he names them; they fire into the dead letters.
        members = [member for image in ledger.partitions.values() for member in image.timers]
        if any(member.split(" ", 1)[0] not in ledger.removals for member in members):
            return False
        return not any(image.records for image in ledger.queues.values())

    def what_is_left(self) -> str:
        """What keeps the world from being quiet, for a message."""
        ledger = self._ledger
        lines = [f"{r.workflow_id} {r.name} v{r.version} {r.status}" for r in ledger.runs.values() if _is_live(r)]
        lines += [f"quarantined {workflow_id}" for workflow_id in ledger.quarantined]
        for name, image in ledger.partitions.items():
            if image.events or image.outbox or image.timers:
                lines.append(f"partition {name}: {image}")
        lines += [f"queue {name}: {image}" for name, image in ledger.queues.items() if image.records]
        return "\n".join(lines)

    def everything_is_in_order(self) -> None:
        """The thorough check of a world at rest."""
        self.no_task_is_lost()
        self.indexes_match()
        self._acknowledged_starts_exist()
        self._failures_are_followed_up()
        FamilyRules(self._ledger).at_rest()
        MailboxRules(self._ledger).at_rest()
        self._hooks.at_rest()
        self._keys_are_known()
        for run in self._ledger.runs.values():
            if not run.is_removed:
                self._stored_is_told(run)

    def _acknowledged_starts_exist(self) -> None:
        by_field: dict[str, set[str]] = {}
        for order, _, workflow_id in self._ledger.acks:
            number = self._keys.partition_of(workflow_id)
            (exists,) = self._disk.ask([("EXISTS", self._keys.workflow(number, workflow_id))])
            if not exists and workflow_id not in self._ledger.removals:
                raise Violation(f"S1: the acknowledged workflow {workflow_id} does not exist")
            if order.idempotency_field and workflow_id not in self._ledger.removals:
                by_field.setdefault(order.idempotency_field, set()).add(workflow_id)
        for field, found in by_field.items():
            if len(found - self._ledger.removals) > 1 and not self._was_freed(field):
                raise Violation(f"S1: {field!r} was acknowledged for {found}")

    def _was_freed(self, field: str) -> bool:
        return any(run.idempotency_field == field and run.is_removed for run in self._ledger.runs.values())

    def _failures_are_followed_up(self) -> None:
        children: dict[str, list[str]] = {}
        for run in self._ledger.runs.values():
            if run.failure_of is not None:
                children.setdefault(run.failure_of, []).append(run.workflow_id)
        for parent, found in children.items():
            if len(found) > 1 + (self._ledger.runs[parent].generation if parent in self._ledger.runs else 0):
                raise Violation(f"S8: {parent} has {len(found)} failure workflows")
        for run in self._ledger.runs.values():
            has_one = run.workflow_id in children
            wants_one = run.name == "failing" and run.status in ("FAILED", "TIMED_OUT")
            if wants_one and not has_one and not run.is_removed:
                raise Violation(f"S8: {run.workflow_id} ended {run.status} without its failure workflow")
            went_well = run.status not in ("FAILED", "TIMED_OUT", "TERMINATED") and not run.generation
            if has_one and went_well and not run.is_removed:
                raise Violation(f"S8: {run.workflow_id} is {run.status} and has a failure workflow")

    def _keys_are_known(self) -> None:
        names = self._disk.ask([("KEYS", f"{self._keys.namespace}:*")])[0]
        types = self._disk.ask([("TYPE", name) for name in names])
        GateRules(self._ledger, self._workload.at_once).at_rest(self._disk, names)
        ttls = self._disk.ask([("PTTL", name) for name in names])
        for name, type_, ttl in zip(names, types, ttls, strict=True):
            kind = self._keys.kind_of(name.decode())
            if kind is None or kind.type != type_.decode():
                raise Violation(f"S19: {name!r} is a {type_!r} that nobody explains")
            if (ttl >= 0) != (kind.ttl_ms > 0) or ttl > kind.ttl_ms > 0:
                raise Violation(f"S19: {name!r} lives for {ttl} ms, {kind.ttl_ms} was promised")
            if ":d:" in name.decode() or ":park:" in name.decode():
                raise Violation(f"L1: {name!r} is left of a workflow that has ended")

    def _stored_is_told(self, run: Run) -> None:
        number = int(run.partition)
        (flat,) = self._disk.ask([("HGETALL", self._keys.workflow(number, run.workflow_id))])
        fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        stored = {name: unpacked(value) for name, value in fields.items() if name not in STATE_FIELDS}
        if stored != run.records:
            raise Violation(f"S3: the records of {run.workflow_id} are not what its commits wrote")
        version, status = fields["v"], fields["s"]
        if (int(version), status.decode()) != (run.version, run.status):
            raise Violation(f"S3: {run.workflow_id} is {version} {status}, its commits say {run.version} {run.status}")
        for name, record in stored.items():
            if name[0] == "R" and record[STATUS] in ("SCHEDULED", "IN_PROGRESS"):
                raise Violation(f"L1: task {name[1:]} of the ended workflow {run.workflow_id} is {record[STATUS]}")
        for attempt in self._ledger.attempts.values():
            if attempt.workflow_id == run.workflow_id and not attempt.is_wiped:
                self._outcome_stands(attempt, stored)

    def _outcome_stands(self, attempt: Attempt, stored: dict[str, list[Any]]) -> None:
        made = stored.get(f"S{attempt.ref}")
        latest = made is not None and (made[5], made[6]) == (attempt.number, attempt.generation)
        record = stored.get(f"R{attempt.ref if latest else attempt.record_name}")
        if record is None:
            raise Violation(f"S6: {attempt.task_id} ({attempt.ref}, attempt {attempt.number}) has no result")
        if attempt.accepted is None:
            return
        status, output = attempt.accepted[1], attempt.accepted[8]
        if record[STATUS] != status and not (record[STATUS] in FAILED_AS and status != "COMPLETED"):
            raise Violation(f"S4: {attempt.task_id} was accepted as {status} and is recorded as {record[STATUS]}")
        if attempt.type == "SUB_WORKFLOW":  # the child's output, and its id
            output = {"subWorkflowId": attempt.accepted[CHILD_ID], **output}
        if record[12] != (output if output is not None else {}):
            raise Violation(f"S21: {attempt.task_id} was accepted with {output} and is recorded with {record[12]}")


def _is_live(run: Run) -> bool:
    return run.status not in ENDED and not run.is_removed
