"""A partition from the outside: start workflows, ask something of it, read what is committed.

Everybody may call what is here; only the partition's owner calls ``commit``, ``inbox``, ``timers`` and ``quarantine``.
Every function gives a ``Call`` or ``Command``; nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from orchestrator.errors import InvalidPayload, StoreRefused
from orchestrator.model.records import encode
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import TOMBSTONE_TTL_MS, Keys
from orchestrator.store.verdicts import word

ENDED = frozenset({"COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED"})


class StartVerdict(StrEnum):
    """What became of a start."""

    OK = "OK"
    EXISTS = "EXISTS"  # the idempotency key belongs to another execution
    TAKEN = "TAKEN"  # the workflow id belongs to another request
    NODEF = "NODEF"  # the partition does not have the definition: repeat with its body
    TOMB = "TOMB"  # cancelled before it arrived


class NewWorkflow(NamedTuple):
    """An execution to be started; ``meta`` and ``input`` are packed.

    An empty ``definition_body`` says that the partition is believed to have it. ``expected_other`` names the execution
    that a former EXISTS gave: if that one has ended or is gone, the idempotency key passes to this start (that is
    FAIL_ON_RUNNING; the other strategies are decided by the caller from EXISTS).
    """

    workflow_id: str
    request_id: str
    name: str
    definition_hash: str
    meta: bytes
    input: bytes
    definition_body: bytes = b""
    idempotency_field: str = ""
    expected_other: str = ""


class StartReply(NamedTuple):
    """``workflow_id`` is the started one, or under EXISTS the other one; otherwise ''."""

    verdict: StartVerdict
    workflow_id: str


class RequestReply(NamedTuple):
    """``state`` is SENT, PENDING (sent before, not answered yet), ANSWERED or UNKNOWN (no such workflow)."""

    state: str
    answer: bytes = b""


class LoadedWorkflow(NamedTuple):
    """The fields of a workflow that a decision starts from; bytes are packed records."""

    version: int
    status: str
    meta: bytes
    input: bytes
    core: bytes | None
    variables: bytes | None
    start_ms: int
    quarantine: str | None


class PartitionStats(NamedTuple):
    """How much waits in a partition and who owns it (``owner`` '' = nobody; ``oldest_event_ms`` 0 = no event)."""

    now_ms: int
    inbox: int
    outbox: int
    timers: int
    dead_letters: int
    owner: str
    epoch: int
    expires_ms: int
    crashes: int
    oldest_event_ms: int


def start(keys: Keys, partition: int, starts: Sequence[NewWorkflow]) -> Call:
    """Start executions of one partition, each for itself; decodes to a ``StartReply`` each, or why the store refused it.

    Earlier ones count for later ones. Example: ``start(keys, 3, [NewWorkflow(wid, rid, "order", h, meta, given)])``
    """
    names = [keys.inbox(partition), keys.idempotency(partition), keys.definitions(partition)]
    for one in starts:
        names += (keys.workflow(partition, one.workflow_id), keys.tombstone(partition, one.workflow_id))
    bodies: dict[str, bytes] = {}
    for one in starts:
        bodies[one.definition_hash] = one.definition_body or bodies.get(one.definition_hash, b"")
    numbers = {definition_hash: number for number, definition_hash in enumerate(bodies, 1)}
    args: list[Argument] = [len(bodies)]
    for item in bodies.items():
        args += item
    args.append(len(starts))
    for one in starts:
        place: Argument = ""
        if one.expected_other:
            names.append(keys.workflow(partition, one.expected_other))
            place = len(names)
        args += (one.workflow_id, one.request_id, one.name, one.idempotency_field, one.expected_other, place)
        args += (numbers[one.definition_hash], one.meta, one.input, encode((one.meta, one.input)))
    return Call("start", names, args, partial(_start_replies, starts), durable=True)


def idempotency_field(name: str, idempotency_key: str) -> str:
    """The field under which a start of workflow ``name`` with this key is known."""
    return f"{name}\n{idempotency_key}"


def _start_replies(starts: Sequence[NewWorkflow], replies: Any) -> list[StartReply | StoreRefused]:
    return [_start_reply(one, reply) for one, reply in zip(starts, replies, strict=True)]


def _start_reply(one: NewWorkflow, reply: Any) -> StartReply | StoreRefused:
    if word(reply) == "CORRUPT":
        return StoreRefused(
            f"start of workflow {one.workflow_id}: a key of this namespace holds data of another program",
            "use another namespace",
        )
    return StartReply(StartVerdict(word(reply)), reply[1].decode() if len(reply) > 1 else "")


def tell(keys: Keys, partition: int, workflow_id: str, said: tuple[Any, ...], *, forbids_start: bool = False) -> Call:
    """Put another workflow's word into this one's inbox: the fields of ``events.Told`` behind its time.

    A repetition is put in again, and the decision recognises it. Decodes to whether the workflow exists;
    ``forbids_start``: if it does not, no start of its id is taken for an hour.
    Example: ``tell(keys, 3, child_id, ("cancel", task_id, "parent ended", "", 0), forbids_start=True)``
    """
    names = (
        keys.workflow(partition, workflow_id),
        keys.inbox(partition),
        keys.tombstone(partition, workflow_id),
    )
    tombstone_ms = TOMBSTONE_TTL_MS if forbids_start else 0
    return Call("tell", names, (workflow_id, encode(said), tombstone_ms), _is_told, durable=True)


def _is_told(reply: Any) -> bool:
    return word(reply) == "OK"


def request(keys: Keys, partition: int, workflow_id: str, request_id: str, action: str, arguments: Any) -> Call:
    """Ask the decider to do ``action``, once per request id; decodes to a ``RequestReply``.

    Example: ``request(keys, 3, wid, "r-1", "pause", {})``
    """
    names = (
        keys.workflow(partition, workflow_id),
        keys.inbox(partition),
        keys.answer(partition, request_id),
    )
    return Call("request", names, (workflow_id, request_id, encode((action, arguments))), _request_reply, durable=True)


def _request_reply(reply: Any) -> RequestReply:
    return RequestReply(word(reply), reply[1] if len(reply) > 1 else b"")


def status_of(keys: Keys, partition: int, workflow_id: str) -> Command:
    """The status of an execution in Redis; decodes to ``str``, or ``None`` when there is none (any more)."""
    return Command(("HGET", keys.workflow(partition, workflow_id), "s"), _text)


def request_of(keys: Keys, partition: int, workflow_id: str) -> Command:
    """The id of the request that started an execution; decodes to ``str``, or ``None`` when there is none (any more)."""
    return Command(("HGET", keys.workflow(partition, workflow_id), "rid"), _text)


def holder_of(keys: Keys, partition: int, field: str) -> Command:
    """The id of the execution that has an idempotency key, by ``idempotency_field``; ``None`` when nobody has it."""
    return Command(("HGET", keys.idempotency(partition), field), _text)


def has_room(keys: Keys, partition: int) -> list[Command]:
    """Reads that fail where the keys which a start writes hold data of another program."""
    return [Command(("XLEN", keys.inbox(partition))), Command(("HLEN", keys.definitions(partition)))]


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()


def read_answer(keys: Keys, partition: int, request_id: str) -> Command:
    """The answer to a request: ``None`` = no such request (any more), b"" = pending."""
    return Command(("GET", keys.answer(partition, request_id)))


def load_workflow(keys: Keys, partition: int, workflow_id: str) -> Command:
    """What a decision starts from; decodes to a ``LoadedWorkflow``, or ``None`` when there is no such workflow."""
    words = ("HMGET", keys.workflow(partition, workflow_id), "v", "s", "m", "i", "c", "x", "t", "q")
    return Command(words, _loaded)


def _loaded(reply: Any) -> LoadedWorkflow | None:
    version, status, meta, given, core, variables, start_ms, quarantine = reply
    if version is None:
        return None
    reason = None if quarantine is None else quarantine.decode(errors="replace")
    try:
        return LoadedWorkflow(int(version), status.decode(), meta, given, core, variables, int(start_ms), reason)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidPayload("", f"the stored fields of a workflow are damaged ({error})") from error


def load_records(keys: Keys, partition: int, workflow_id: str, fields: Sequence[str]) -> Command:
    """Task records by field (``S<ref>``, ``R<ref>``), in order; ``None`` where there is none."""
    return Command(("HMGET", keys.workflow(partition, workflow_id), *fields))


def message_field(number: int) -> str:
    """Where message number ``number`` of a workflow is kept, beside its task records."""
    return f"M{number}"


def load_messages(keys: Keys, partition: int, workflow_id: str, numbers: Sequence[int]) -> Command:
    """Messages by number, packed, in order; ``None`` where there is none."""
    return load_records(keys, partition, workflow_id, [message_field(number) for number in numbers])


def load_dispatch(keys: Keys, partition: int, workflow_id: str, suffixes: Sequence[str]) -> Command:
    """The dispatch texts of these attempts, in order; ``None`` for one that is not open."""
    return Command(("HMGET", keys.dispatch(partition, workflow_id), *suffixes))


def scan_dispatch(keys: Keys, partition: int, workflow_id: str, cursor: bytes | int, count: int) -> Command:
    """A slice of a workflow's open attempts: ``(next cursor, [suffix, text, ...])``; cursor 0 begins and ends."""
    return Command(("HSCAN", keys.dispatch(partition, workflow_id), cursor, "COUNT", count))


def load_definition(keys: Keys, partition: int, definition_hash: str) -> Command:
    """The resolved definition of that content hash, or ``None``."""
    return Command(("HGET", keys.definitions(partition), definition_hash))


def partition_stats(keys: Keys, partition: int) -> Call:
    """Decodes to ``PartitionStats``."""
    names = (
        keys.ownership(partition),
        keys.inbox(partition),
        keys.outbox(partition),
        keys.timers(partition),
        keys.dead_letters(partition),
    )
    return Call("partition_stats", names, (), _stats)


def _stats(reply: Any) -> PartitionStats:
    reply[5] = reply[5].decode()
    return PartitionStats._make(reply)
