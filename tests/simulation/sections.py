"""The arguments of a commit, read back into what they say: sections with their events, fields and operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.plan import Call
from orchestrator.store.keys import STATE_FIELDS


class Operation(NamedTuple):
    """One operation of a section on one key."""

    code: str
    key: str
    args: list[Any]


class SectionView(NamedTuple):
    """What one section of a commit writes; ``records`` are task records and messages, ``fields`` the workflow's state."""

    workflow_id: str
    base: str
    events: tuple[str, ...]
    fields: dict[str, Any]
    records: dict[str, Any]
    operations: list[Operation]

    def opened(self) -> Iterator[tuple[str, Any]]:
        """Suffix and text of everything set in the workflow's dispatch."""
        for code, key, args in self.operations:
            if code == "H" and key.endswith(f":d:{self.workflow_id}"):
                yield from zip(map(str, args[::2]), args[1::2], strict=True)

    def dropped(self, kind: str) -> Iterator[str]:
        """Fields deleted from the workflow's hash of that kind: w or d."""
        for code, key, args in self.operations:
            if code == "D" and key.endswith(f":{kind}:{self.workflow_id}"):
                yield from map(str, args)

    def has(self, code: str) -> bool:
        """Whether an operation of that code is there."""
        return any(operation.code == code for operation in self.operations)

    def text(self) -> bytes:
        """Everything the section writes, to be compared with another computation of it."""
        return repr((sorted(self.fields.items()), sorted(self.records.items()), self.operations)).encode()


class CommitView(NamedTuple):
    """A commit's arguments."""

    epoch: int
    owner: str
    relayed: tuple[str, ...]
    sections: list[SectionView]


def read_commit(call: Call) -> CommitView:
    """Parse the arguments by the contract in the script's header."""
    args = list(call.args)
    relayed = int(args[4])
    at = 5 + relayed
    count = int(args[at])
    at += 1
    sections = []
    for _ in range(count):
        key = call.keys[int(args[at]) - 1]
        base, events_count = str(args[at + 1]), int(args[at + 2])
        at += 3
        events = tuple(map(str, args[at : at + events_count]))
        at += events_count
        fields_count = int(args[at])
        flat = args[at + 1 : at + 1 + fields_count]
        at += 1 + fields_count
        operations = []
        operations_count = int(args[at])
        at += 1
        for _ in range(operations_count):
            place, length = int(args[at + 1]), int(args[at + 2])
            name = call.keys[place - 1] if place else ""
            operations.append(Operation(str(args[at]), name, args[at + 3 : at + 3 + length]))
            at += 3 + length
        fields = {str(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        records = {name: fields.pop(name) for name in sorted(fields) if name not in STATE_FIELDS}
        sections.append(SectionView(key.split(":w:", 1)[1], base, events, fields, records, operations))
    return CommitView(int(args[0]), str(args[1]), tuple(map(str, args[5 : 5 + relayed])), sections)
