"""Starting a workflow: from a name (or an inline definition) to the one script call that makes it exist.

The definition is resolved when the start is sent, its latest version read anew each time, and travels with the start only
when the partition does not hold it yet. Clients, the relay (failure workflows, children) and tests start through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from orchestrator.core.expressions import check_expression
from orchestrator.core.kinds import SYSTEM_TASK_TYPES
from orchestrator.core.operators import OPERATORS
from orchestrator.core.schemas import schema_problems
from orchestrator.engine.extras import require_extras
from orchestrator.errors import DefinitionInvalid, DefinitionNotFound, InvalidRequest, Problem
from orchestrator.ids import partition_of
from orchestrator.model.definitions import WorkflowDef, walk
from orchestrator.model.records import Meta, encode
from orchestrator.model.validation import validate_workflow_def
from orchestrator.model.wire import definition_hash, workflow_def_from_dict, workflow_def_to_dict
from orchestrator.plan import Plan
from orchestrator.scripts.checking import check_script
from orchestrator.store import catalog, partition
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import NewWorkflow, StartReply

check_runnable = partial(
    validate_workflow_def,
    supported=SYSTEM_TASK_TYPES | OPERATORS.keys(),
    check_expression=check_expression,
    check_schema=schema_problems,
    check_script=check_script,
)
"""Judges a definition by the rules and by what this engine can run; see ``validate_workflow_def``."""


class Resolved(NamedTuple):
    """A definition ready to be started: its identity, its content hash and its JSON as partitions keep it."""

    name: str
    version: int
    hash: str
    body: bytes
    definition: WorkflowDef
    children: tuple[str, ...] = ()  # sub-workflows it starts by a plain name and without a version


DEFINITION_BYTES_MAX = 4 * 1024 * 1024
"""A larger definition would hold up a decider for a second when it is compiled."""


def size_problems(body: bytes) -> list[Problem]:
    """What is wrong with the size of a definition's JSON."""
    if len(body) <= DEFINITION_BYTES_MAX:
        return []
    message = (
        f"the definition is {len(body):,} bytes of JSON, at most {DEFINITION_BYTES_MAX:,} are taken; move parts of it into "
        "sub-workflows, or let a dynamic fork make the steps at run time"
    )
    return [Problem("", message)]


_resolved: dict[bytes, Resolved] = {}
_RESOLVED_MAX = 500


def resolve_definition(definition: WorkflowDef) -> Resolved:
    """The startable form of a definition that is at hand."""
    body = msgspec.json.encode(workflow_def_to_dict(definition))
    children = tuple(dict.fromkeys(_unversioned(definition)))
    return Resolved(definition.name, definition.version, definition_hash(definition), body, definition, children)


def _unversioned(definition: WorkflowDef) -> Iterator[str]:
    for _, task in walk(definition):
        params = task.sub_workflow_param
        if params is None or params.workflow_definition is not None or params.version is not None:
            continue
        if params.name and "${" not in params.name:
            yield params.name


def resolve_inline(definition: WorkflowDef) -> Resolved:
    """The startable form of a definition that travels with its start. Raises ``DefinitionInvalid``, ``MissingExtra``."""
    require_extras([definition])
    problems = check_runnable(definition)
    if problems:
        raise DefinitionInvalid(f"workflow {definition.name!r}", problems)
    resolved = resolve_definition(definition)
    if size_problems(resolved.body):
        raise DefinitionInvalid(f"workflow {definition.name!r}", size_problems(resolved.body))
    return resolved


def child_versions(store: StoreContext, resolved: Resolved) -> Plan[dict[str, int]]:
    """The latest versions, right now, of the sub-workflows that a definition names without one.

    They hold for the whole execution (Conductor pins them at the start too). One that nobody has registered yet is left
    out: it is looked for when it is to start.
    """
    if not resolved.children:
        return {}
    latest: list[int | None] = yield catalog.latest_versions(store.keys, resolved.children)
    return {name: version for name, version in zip(resolved.children, latest, strict=True) if version is not None}


def resolve_body(body: bytes) -> Resolved:
    """The startable form of stored definition JSON; remembered by its text, because starts repeat."""
    found = _resolved.get(body)
    if found is None:
        if len(_resolved) >= _RESOLVED_MAX:
            _resolved.clear()
        found = _resolved[body] = resolve_definition(workflow_def_from_dict(msgspec.json.decode(body), check=None))
    return found


def resolve_name(store: StoreContext, name: str, version: int | None) -> Plan[Resolved]:
    """Read a registered definition, the latest version when none is named. Raises ``DefinitionNotFound``."""
    stored = yield catalog.get_workflow(store.keys, name, version)
    if stored is None:
        shown = f"version={version}" if version is not None else "any version"
        raise DefinitionNotFound(
            f"No such workflow defined. name={name}, {shown}; register it with: orchestrator def apply FILE"
        )
    return resolve_body(stored.body)


def with_defaults(definition: WorkflowDef, given: Mapping[str, Any]) -> dict[str, Any]:
    """An input with the definition's template laid under it; an explicit null takes the default too.

    Conductor forgets the template when the given input is empty; defaults that vanish are of no use to anybody.
    """
    template = definition.input_template
    return {**given, **{name: value for name, value in template.items() if given.get(name) is None}}


class Start(NamedTuple):
    """One start, complete: repeat it with the same ``request_id`` and it still happens once."""

    workflow_id: str
    request_id: str
    resolved: Resolved
    meta: Meta
    input: Raw
    idempotency_field: str = ""

    def asked(self, *, with_body: bool, expected_other: str = "") -> NewWorkflow:
        """As the store takes it; ``with_body`` sends the definition along for a partition that lacks it."""
        return NewWorkflow(
            self.workflow_id,
            self.request_id,
            self.meta.name,
            self.resolved.hash,
            encode(self.meta),
            bytes(self.input),
            definition_body=self.resolved.body if with_body else b"",
            idempotency_field=self.idempotency_field,
            expected_other=expected_other,
        )


STARTS_PER_CALL = 100
BYTES_PER_CALL = 1024 * 1024
"""A script that starts more at a time would hold up the others of its server."""

_known_bodies: set[tuple[str, int, str]] = set()
_KNOWN_MAX = 100_000


def send_starts(store: StoreContext, starts: list[Start]) -> Plan[list[StartReply | Exception]]:
    """Send starts in one pipeline; partitions that lack a definition get it in a second one. Replies in order.

    A reply may be an exception in its place; a lost connection raises and every start may be repeated.
    """
    replies = yield from _sent(store, [start.asked(with_body=_note_body(store, start)) for start in starts])
    again = [index for index, reply in enumerate(replies) if isinstance(reply, StartReply) and reply.verdict == "NODEF"]
    if again:
        repeated = yield from _sent(store, [starts[index].asked(with_body=True) for index in again])
        for index, reply in zip(again, repeated, strict=True):
            replies[index] = reply
    return replies


def take_over(store: StoreContext, start: Start, other: str) -> Plan[StartReply]:
    """Start it although ``other`` has its idempotency key, if that one has ended. Raises what the store refuses it with."""
    (reply,) = yield from _sent(store, [start.asked(with_body=True, expected_other=other)])
    if isinstance(reply, Exception):
        raise reply
    return reply


def _sent(store: StoreContext, asked: Sequence[NewWorkflow]) -> Plan[list[StartReply | Exception]]:
    """One script per partition and pipeline, or some where that would be a large one."""
    parts = list(_parts(store, asked))
    answers = yield [partition.start(store.keys, number, [asked[index] for index in part]) for number, part in parts]
    replies: dict[int, StartReply | Exception] = {}
    for (_, part), answer in zip(parts, answers, strict=True):
        replies.update(zip(part, repeat(answer) if isinstance(answer, Exception) else answer, strict=False))
    return [replies[index] for index in range(len(asked))]


def _parts(store: StoreContext, asked: Sequence[NewWorkflow]) -> Iterator[tuple[int, list[int]]]:
    """The places of the starts that go together, with the partition they are for."""
    open_parts: dict[int, tuple[list[int], int]] = {}
    for index, one in enumerate(asked):
        number = partition_of(one.workflow_id, store.keys.partitions)
        size = len(one.definition_body) + 2 * (len(one.meta) + len(one.input))
        part, total = open_parts.get(number, ([], 0))
        if part and (len(part) == STARTS_PER_CALL or total + size > BYTES_PER_CALL):
            yield number, part
            part, total = [], 0
        part.append(index)
        open_parts[number] = (part, total + size)
    for number, (part, _) in open_parts.items():
        yield number, part


def _note_body(store: StoreContext, start: Start) -> bool:
    """Whether this process has not yet sent the definition to that partition; remembers that it has now."""
    keys = store.keys
    place = (keys.namespace, partition_of(start.workflow_id, keys.partitions), start.resolved.hash)
    if place in _known_bodies:
        return False
    if len(_known_bodies) >= _KNOWN_MAX:
        _known_bodies.clear()
    _known_bodies.add(place)
    return True


def check_workflow_id(workflow_id: str) -> None:
    """Refuse ids that could not be told apart inside timers and queues. Raises ``InvalidRequest``."""
    if not workflow_id or len(workflow_id) > 200 or any(c.isspace() or not c.isprintable() for c in workflow_id):
        raise InvalidRequest(
            f"workflow id {workflow_id[:60]!r} is not usable: 1 to 200 printable characters without spaces are"
        )
