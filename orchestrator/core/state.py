"""A workflow as decisions see it: the core record plus those task records that were loaded.

The owner of a partition keeps one ``WorkflowState`` per live workflow and applies each committed decision to it. A
record that is not in ``records`` has not been loaded, unless ``complete`` says that everything that exists is here;
asking for one that is neither raises ``RecordsNeeded``, the engine loads it and decides again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP, unpack
from orchestrator.core.outside import unpacked
from orchestrator.ids import task_suffix
from orchestrator.model.records import Core, Meta, Result, Scheduled
from orchestrator.model.status import is_terminal

_UNREAD: Any = object()


def waits_inside(core: Core) -> int:
    """How many open tasks only wait for others of the workflow: JOINs, and loops for the tasks of their body."""
    if not core.loops:
        return len(core.joins)
    return len(core.joins) + sum(1 for loop in core.loops.values() if loop.ref and loop.ref not in core.evaluating)


class RecordsNeeded(Exception):
    """Raised inside a decision that met task records it was not given; ``decide`` turns it into ``Need``."""

    def __init__(self, refs: list[str]) -> None:
        self.refs = refs


class MessagesNeeded(Exception):
    """Raised inside a decision that hands out messages it was not given; ``numbers`` says which."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers


class OpenTasksNeeded(Exception):
    """Raised inside a decision that must cancel open tasks and was not given a list of them."""


class ProgramNeeded(Exception):
    """Raised inside a decision that goes over to another definition, by the hash it was not given."""

    def __init__(self, definition_hash: str) -> None:
        self.definition_hash = definition_hash


class TaskRecord:
    """The latest attempt of one task: what it was scheduled with and, once it ended, its result."""

    __slots__ = ("_input", "_output", "is_open", "result", "scheduled", "status", "suffix")

    def __init__(self, scheduled: Scheduled, result: Result | None = None) -> None:
        self.scheduled = scheduled
        self.result = result
        self.status = result.status if result is not None else scheduled.status
        self.is_open = not is_terminal(self.status)  # the attempt has not ended yet
        # The task id without the workflow id.
        self.suffix = task_suffix(scheduled.ref, scheduled.iteration, scheduled.attempt, scheduled.generation)
        self._input: Any = _UNREAD
        self._output: Any = _UNREAD

    @property
    def timed_from(self) -> Scheduled:
        """What time-outs go by while the task waits in place: when it was made, or taken up again after its end."""
        made, again_ms = self.scheduled, self.result.started_ms if self.result is not None else 0
        if again_ms <= made.scheduled_ms:
            return made
        return replace(made, scheduled_ms=again_ms, first_scheduled_ms=again_ms)

    @property
    def input(self) -> Any:
        """The decoded input; decoded once, never to be mutated."""
        if self._input is _UNREAD:
            self._input = unpacked(bytes(self.scheduled.input))
        return self._input

    @property
    def output(self) -> Any:
        """The decoded output, ``{}`` while there is none; decoded once, never to be mutated."""
        if self._output is _UNREAD:
            self._output = unpacked(bytes(self.result.output)) if self.result is not None else {}
        return self._output


class WorkflowState:
    """One workflow in memory. ``core`` is None before its first decision."""

    __slots__ = (
        "_input",
        "_variables",
        "complete",
        "core",
        "input_raw",
        "messages",
        "meta",
        "payload_bytes",
        "records",
        "variables_raw",
        "version",
        "workflow_id",
    )

    def __init__(
        self,
        workflow_id: str,
        meta: Meta,
        input_raw: Raw,
        *,
        core: Core | None = None,
        version: int = 0,
        variables_raw: bytes = EMPTY_MAP,
        records: dict[str, TaskRecord | None] | None = None,
        complete: bool = False,
    ) -> None:
        self.workflow_id = workflow_id
        self.meta = meta
        self.input_raw = input_raw
        self.core = core
        self.version = version
        self.variables_raw = variables_raw
        self.records: dict[str, TaskRecord | None] = {} if records is None else records
        self.complete = complete
        self.messages: dict[int, bytes] = {}  # those a decision asked for, until it is committed
        self.payload_bytes = 0  # what the records' payloads take, roughly
        self._input: Any = _UNREAD
        self._variables: Any = _UNREAD

    @property
    def input(self) -> Any:
        if self._input is _UNREAD:
            self._input = unpacked(bytes(self.input_raw))
        return self._input

    @property
    def variables(self) -> dict[str, Any]:
        if self._variables is _UNREAD:
            self._variables = unpack(self.variables_raw)
        found: dict[str, Any] = self._variables
        return found

    def changed(
        self, *, meta: Meta | None = None, input_raw: Raw | None = None, without: Iterable[str] | None = None
    ) -> WorkflowState:
        """A copy under another meta record or input; ``without`` these task records, or (empty) without any."""
        copy = WorkflowState(
            self.workflow_id,
            meta or self.meta,
            self.input_raw if input_raw is None else input_raw,
            core=self.core,
            version=self.version,
            variables_raw=self.variables_raw,
            records=self.records,
            complete=self.complete,
        )
        copy.payload_bytes = self.payload_bytes
        copy.messages = self.messages
        if without is not None:
            gone = dict.fromkeys(without)
            copy.records = {**self.records, **gone} if gone else {}
            copy.complete = self.complete or not gone
        return copy

    def set_variables(self, packed: bytes) -> None:
        """Replace the variables by what a committed decision wrote."""
        self.variables_raw = packed
        self._variables = _UNREAD
