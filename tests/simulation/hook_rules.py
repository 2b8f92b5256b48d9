"""S24, the rules of webhooks: what was acknowledged reaches each task that awaited it, once, and no other.

Which tasks those are is known here from the commits, not from the index: a task that was open when the event was kept and
still is when it is written down whom the event is for must be among them. The index itself is judged by S17.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.plan import Argument, Call, Command
from orchestrator.service.webhooks import EVENT
from orchestrator.store.keys import Keys
from tests.simulation.disk import Disk
from tests.simulation.hooks import BELL, GREETED, HUB, NAME, TYPE
from tests.simulation.ledger import Attempt, Ledger, Violation, unpacked

INPUT, OUTPUT = 16, 8  # positions in a Scheduled record and in an accepted outcome


class HookRules:
    """Judges the steps in event slots, and what deliveries do to tasks."""

    def __init__(self, ledger: Ledger, keys: Keys) -> None:
        self._ledger = ledger
        self._keys = keys
        self._awaited: dict[str, set[str]] = {}  # delivery id -> the tasks that awaited it when it was kept
        self._events: dict[str, dict[str, Any]] = {}
        self._found: dict[str, list[str]] = {}  # delivery id -> the tasks that it is for, as it was written down
        self._kept: set[str] = set()  # what waits to be carried out

    def looks(self, event: str) -> list[tuple[Argument, ...]]:
        """What is read behind a step in an event slot: what waits in the stream."""
        return [("XRANGE", self._keys.event_queue(EVENT), "-", "+")] if event == EVENT else []

    def judge(self, step: Call | Command, reply: Any, looks: Sequence[Any]) -> None:
        """A step in the slot of the stream or of the log of a webhook."""
        for entries in looks:
            self._stream_holds(step, {flat[1].decode() for _, flat in entries})
        if not isinstance(step, Call):
            return
        if step.script == "publish_event" and reply == b"OK":
            message = unpacked(_bytes(step.args[1]))
            if str(step.args[0]) not in self._kept:
                raise Violation(f"S24: {step.args[0]!r} was acknowledged and not kept")
            self._arrived(message["webhook"], message["event"])
        elif step.script == "begin_event_execution" and reply[0] == b"NEW":
            record = unpacked(_bytes(step.args[1]))
            self._written_down(str(record["id"]), record["output"]["tasks"])

    def ended(self, attempt: Attempt) -> None:
        """A delivery ended this task."""
        assert attempt.accepted is not None
        delivery = attempt.accepted[OUTPUT]["delivery"]
        if attempt.task_id not in self._found.get(delivery, ()):
            raise Violation(f"S24: {attempt.task_id} was ended by {delivery}, which was not for it")

    def is_idle(self) -> bool:
        """Whether everything that was delivered has been carried out."""
        return not self._kept

    def indexes_match(self, disk: Disk) -> None:
        """S17: the index of what is awaited holds the open tasks of its type, and no others."""
        for number in range(self._keys.partitions):
            (members,) = disk.ask([("ZRANGE", self._keys.awaiting_webhook(number, NAME), 0, -1)])
            found = sorted(member.decode().rpartition("\n")[2] for member in members)
            of_here = (one for one in self._open() if self._ledger.runs[one.workflow_id].partition == str(number))
            wanted = sorted(one.task_id for one in of_here)
            if found != wanted:
                raise Violation(f"S17: partition {number} says that {found} await events, {wanted} do")

    def at_rest(self) -> None:
        """Every acknowledged delivery was carried out: no task of its is still open, and what it starts was started."""
        for delivery, event in self._ledger.deliveries.items():
            if delivery not in self._found:
                raise Violation(f"S24: {delivery} was acknowledged and is lost")
            left = [task.task_id for task in self._waiting() if task.task_id in self._found[delivery]]
            if left:
                raise Violation(f"S24: {left} await {delivery} still, which was carried out")
            if event["webhook"] == BELL and f"{GREETED}\n{event['order']}" not in self._ledger.holders:
                raise Violation(f"S24: {delivery} started nothing")

    def _stream_holds(self, step: Call | Command, kept: set[str]) -> None:
        handled = set(map(str, step.args[3::4])) if isinstance(step, Call) and step.script == "handled_event" else set()
        if not self._kept - kept <= handled:
            raise Violation(f"S24: {self._kept - kept} left the stream and were not carried out")
        self._kept = kept

    def _arrived(self, webhook_id: str, event: dict[str, Any]) -> None:
        self._events[event["delivery"]] = event
        awaiting = self._waiting() if webhook_id == HUB else []
        self._awaited.setdefault(event["delivery"], {one.task_id for one in awaiting if self._is_for(one, event)})

    def _written_down(self, delivery: str, tasks: list[str]) -> None:
        if delivery in self._found:
            raise Violation(f"S24: it was written down twice whom {delivery} is for")
        self._found[delivery] = tasks
        wrong = [
            task_id for task_id in tasks if not self._is_for(self._ledger.attempts[task_id], self._events[delivery])
        ]
        missed = {task.task_id for task in self._waiting()} & self._awaited[delivery] - set(tasks)
        if wrong or missed:
            raise Violation(f"S24: {delivery} is for {tasks}; {wrong} do not await it, {missed} do")

    def _open(self) -> list[Attempt]:
        return [one for one in self._ledger.attempts.values() if one.type == TYPE and one.is_open]

    def _waiting(self) -> list[Attempt]:
        return [one for one in self._open() if one.accepted is None]

    def _is_for(self, attempt: Attempt, event: dict[str, Any]) -> bool:
        """Whether an event has what a task's record says that it awaits; one that started over has none of it any more."""
        record = self._ledger.runs[attempt.workflow_id].records.get(f"S{attempt.ref}")
        return record is None or all(
            event[path.removeprefix("$.")] == value for path, value in record[INPUT]["matches"].items()
        )


def _bytes(argument: Any) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()
