"""The catalog: definitions of workflows and tasks, who is alive, and how the installation is laid out.

All of it lives in one slot. Workflow definitions are kept by name and version; task definitions carry a revision that
grows with every change, so that a process learns all changes since its last look with one small read. Every function
returns the call to make. Definitions are JSON bytes that nobody looks into here. Callers: the service and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.errors import StoreRefused
from orchestrator.model.execution import PollData
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys

SCHEMA = 2  # of the keys this code writes
OLDEST_SCHEMA = 2  # the oldest schema this code can still read
OLDEST_READER = 2  # the oldest schema number a program must know to read what this code writes


class Registered(StrEnum):
    """What became of a registration."""

    OK = "OK"
    SAME = "SAME"  # this very text is stored already
    EXISTS = "EXISTS"  # another text is stored under this name (and version); nothing was changed


class WorkflowDefinition(NamedTuple):
    """One stored version of a workflow definition."""

    version: int
    body: bytes


class TaskDefinition(NamedTuple):
    """One stored task definition; ``body`` is ``None`` when this revision deleted it."""

    name: str
    revision: int
    body: bytes | None


class PutTaskDefinition(NamedTuple):
    """What became of a task definition; ``stored`` is what stands in the way of ``EXISTS``."""

    result: Registered
    revision: int
    stored: bytes | None = None


class PollNote(NamedTuple):
    """Who asked a queue for tasks ``age_ms`` ago."""

    task_type: str
    domain: str | None
    worker: str
    age_ms: int


# --- workflow definitions ---------------------------------------------------------------------------------------------


def register_workflow(keys: Keys, name: str, version: int, body: bytes, *, overwrite: bool = False) -> Call:
    """Store one version; replies ``Registered``. Without ``overwrite`` another text is never replaced.

    Example: ``executor.do(register_workflow(keys, "order", 1, b'{"name": "order"}'))``
    """
    return Call(
        "register_workflow",
        (keys.workflow_versions(name), keys.workflow_names()),
        (name, version, body, int(overwrite)),
        lambda raw: Registered(raw.decode()),
        durable=True,
    )


def get_workflow(keys: Keys, name: str, version: int | None = None) -> Call:
    """Read one version, or the latest; replies ``WorkflowDefinition`` or ``None``."""
    return Call(
        "get_workflow",
        (keys.workflow_versions(name), keys.workflow_names()),
        (name, "" if version is None else version),
        lambda raw: WorkflowDefinition(int(raw[0]), raw[1]) if raw else None,
    )


def delete_workflow(keys: Keys, name: str, version: int) -> Call:
    """Forget one version, the latest becomes the highest left; replies whether it was there."""
    return Call(
        "delete_workflow",
        (keys.workflow_versions(name), keys.workflow_names()),
        (name, version),
        lambda raw: bool(raw == b"OK"),
        durable=True,
    )


def list_workflows(keys: Keys) -> Command:
    """Every workflow name with its latest version; replies ``dict[str, int]`` in order of names."""
    return Command(("HGETALL", keys.workflow_names()), lambda raw: _sorted_map(raw, int))


def latest_versions(keys: Keys, names: Sequence[str]) -> Command:
    """The latest version of each of these workflows, in order; ``None`` for one that is not registered."""
    return Command(
        ("HMGET", keys.workflow_names(), *names), lambda raw: [int(one) if one is not None else None for one in raw]
    )


def workflow_versions(keys: Keys, name: str) -> Command:
    """Every version of one workflow with its body; replies ``list[WorkflowDefinition]``, oldest first."""

    def versions(raw: Any) -> list[WorkflowDefinition]:
        return sorted(WorkflowDefinition(int(version), body) for version, body in _pairs(raw))

    return Command(("HGETALL", keys.workflow_versions(name)), versions)


# --- schemas: kept and found exactly like workflow definitions -----------------------------------------------------------


def register_schema(keys: Keys, name: str, version: int, body: bytes, *, overwrite: bool = False) -> Call:
    """Store one version of a schema; replies ``Registered``. Without ``overwrite`` another text is never replaced."""
    return Call(
        "register_workflow",
        (keys.schema_versions(name), keys.schema_names()),
        (name, version, body, int(overwrite)),
        lambda raw: Registered(raw.decode()),
        durable=True,
    )


def get_schema(keys: Keys, name: str, version: int | None = None) -> Call:
    """Read one version, or the latest; replies its body or ``None``."""
    return Call(
        "get_workflow",
        (keys.schema_versions(name), keys.schema_names()),
        (name, "" if version is None else version),
        lambda raw: raw[1] if raw else None,
    )


def delete_schema(keys: Keys, name: str, version: int) -> Call:
    """Forget one version; replies whether it was there. Definitions keep the copy they were stored with."""
    return Call(
        "delete_workflow",
        (keys.schema_versions(name), keys.schema_names()),
        (name, version),
        lambda raw: bool(raw == b"OK"),
        durable=True,
    )


def schema_versions(keys: Keys, name: str) -> Command:
    """Every version of one schema, in order; replies ``list[int]``."""
    return Command(("HKEYS", keys.schema_versions(name)), lambda raw: sorted(int(version) for version in raw))


def list_schemas(keys: Keys) -> Command:
    """Every schema name with its latest version; replies ``dict[str, int]`` in order of names."""
    return Command(("HGETALL", keys.schema_names()), lambda raw: _sorted_map(raw, int))


# --- secrets and environment values -----------------------------------------------------------------------------------


def read_secrets(keys: Keys, names: Sequence[str]) -> Command:
    """The sealed values of these secrets, in order; ``None`` for one that is not kept here."""
    return Command(("HMGET", keys.secrets(), *names))


def write_secret(keys: Keys, name: str, sealed: bytes) -> Command:
    """Keep a sealed value, replacing what there is."""
    return Command(("HSET", keys.secrets(), name, sealed))


def delete_secret(keys: Keys, name: str) -> Command:
    """Forget a secret; replies how many there were."""
    return Command(("HDEL", keys.secrets(), name))


def secret_names(keys: Keys) -> Command:
    """The names of all secrets kept here, sorted."""
    return Command(("HKEYS", keys.secrets()), _sorted_names)


def list_environment(keys: Keys) -> Command:
    """All stored environment values; replies ``dict[str, str]`` in order of names."""
    return Command(("HGETALL", keys.environment()), lambda raw: _sorted_map(raw, bytes.decode))


def write_environment(keys: Keys, name: str, value: str) -> Command:
    """Store one environment value, replacing what there is."""
    return Command(("HSET", keys.environment(), name, value))


def delete_environment(keys: Keys, name: str) -> Command:
    """Forget an environment value; replies how many there were."""
    return Command(("HDEL", keys.environment(), name))


# --- task definitions -------------------------------------------------------------------------------------------------


def put_task_definition(keys: Keys, name: str, body: bytes, *, only_if_absent: bool = False) -> Call:
    """Store a task definition under a new revision; replies ``PutTaskDefinition``.

    With ``only_if_absent`` another text stays and is handed back (a starting worker warns of the difference).
    """
    return Call("put_taskdef", _taskdef_keys(keys), (name, body, int(only_if_absent)), _put, durable=True)


def delete_task_definition(keys: Keys, name: str) -> Call:
    """Forget a task definition, under a new revision so that readers learn of it; replies that, ``None`` if there was none."""

    def revision(raw: list[Any]) -> int | None:
        return int(raw[1]) if raw[0] == b"OK" else None

    return Call("put_taskdef", _taskdef_keys(keys), (name, b"", 0), revision, durable=True)


def get_task_definition(keys: Keys, name: str) -> Command:
    """The body of a task definition or ``None``."""
    return Command(("HGET", keys.task_definitions(), name))


def list_task_definitions(keys: Keys) -> Command:
    """Every task definition; replies ``dict[str, bytes]`` in order of names."""
    return Command(("HGETALL", keys.task_definitions()), lambda raw: _sorted_map(raw, bytes))


def task_definitions_since(keys: Keys, revision: int, limit: int = 250) -> Call:
    """What changed after ``revision``, oldest first, at most ``limit``; replies ``list[TaskDefinition]``.

    Go on from the last one's revision; start with 0 for everything, deletions included.
    """

    def changes(raw: list[Any]) -> list[TaskDefinition]:
        return [TaskDefinition(raw[at].decode(), raw[at + 1], raw[at + 2]) for at in range(0, len(raw), 3)]

    return Call(
        "taskdefs_since", (keys.task_definitions(), keys.task_definition_revisions()), (revision, limit), changes
    )


# --- tags -------------------------------------------------------------------------------------------------------------


def list_tags(keys: Keys) -> Command:
    """Every tag, as the bytes it was added with."""
    return Command(("SMEMBERS", keys.tags()))


def add_tags(keys: Keys, tags: Sequence[bytes]) -> Command:
    """Add tags, at least one; replies how many are new."""
    return Command(("SADD", keys.tags(), *tags))


def remove_tags(keys: Keys, tags: Sequence[bytes]) -> Command:
    """Remove tags, at least one; replies how many there were."""
    return Command(("SREM", keys.tags(), *tags))


# --- event handlers ---------------------------------------------------------------------------------------------------


class HandlerPut(StrEnum):
    """What became of a change of an event handler."""

    OK = "OK"
    SAME = "SAME"
    EXISTS = "EXISTS"
    UNKNOWN = "UNKNOWN"


def put_event_handler(keys: Keys, name: str, body: bytes, *, mode: str = "put") -> Call:
    """Store an event handler; replies ``HandlerPut``. ``mode``: put, or add (refused if it exists), update (if it does
    not). An empty body forgets it.
    """
    return Call(
        "put_event_handler",
        (keys.event_handlers(), keys.event_handlers_revision()),
        (name, body, mode),
        lambda raw: HandlerPut(raw.decode()),
        durable=True,
    )


def get_event_handler(keys: Keys, name: str) -> Command:
    """The body of an event handler or ``None``."""
    return Command(("HGET", keys.event_handlers(), name))


def list_event_handlers(keys: Keys) -> Command:
    """Every event handler; replies ``dict[str, bytes]`` in order of names."""
    return Command(("HGETALL", keys.event_handlers()), lambda raw: _sorted_map(raw, bytes))


def event_handlers_revision(keys: Keys) -> Command:
    """A number that changes whenever an event handler does."""
    return Command(("GET", keys.event_handlers_revision()), lambda raw: int(raw or 0))


# --- webhooks, configurations of event queues -------------------------------------------------------------------------


def put_webhook(keys: Keys, webhook_id: str, body: bytes) -> Command:
    """Store a webhook."""
    return Command(("HSET", keys.webhooks(), webhook_id, body))


def get_webhook(keys: Keys, webhook_id: str) -> Command:
    """The body of a webhook or ``None``."""
    return Command(("HGET", keys.webhooks(), webhook_id))


def list_webhooks(keys: Keys) -> Command:
    """Every webhook; replies ``dict[str, bytes]`` in order of ids."""
    return Command(("HGETALL", keys.webhooks()), lambda raw: _sorted_map(raw, bytes))


def delete_webhook(keys: Keys, webhook_id: str) -> Command:
    """Forget a webhook; replies how many there were."""
    return Command(("HDEL", keys.webhooks(), webhook_id))


def put_event_source(keys: Keys, kind: str, name: str, body: bytes) -> Command:
    """Store the configuration of an event queue."""
    return Command(("HSET", keys.event_sources(), f"{kind}\n{name}", body))


def get_event_source(keys: Keys, kind: str, name: str) -> Command:
    """The configuration of an event queue or ``None``."""
    return Command(("HGET", keys.event_sources(), f"{kind}\n{name}"))


def list_event_sources(keys: Keys) -> Command:
    """Every configuration of an event queue; replies ``dict[str, bytes]`` by ``<type>\\n<name>``."""
    return Command(("HGETALL", keys.event_sources()), lambda raw: _sorted_map(raw, bytes))


def delete_event_source(keys: Keys, kind: str, name: str) -> Command:
    """Forget the configuration of an event queue; replies how many there were."""
    return Command(("HDEL", keys.event_sources(), f"{kind}\n{name}"))


# --- installation, deciders, queues -----------------------------------------------------------------------------------


def check_installation(keys: Keys) -> Call:
    """Record the layout of a new installation, or compare with the recorded one; replies its number of partitions.

    Raises ``StoreRefused`` when the partitions differ (workflows would be looked for in the wrong place) or when this
    program and the stored schema do not know each other. Example: ``executor.do(check_installation(keys))``
    """

    def compare(raw: list[bytes]) -> int:
        partitions, schema, oldest_reader = (int(value) for value in raw)
        where = f"the installation {keys.namespace!r} in this Redis"
        if partitions != keys.partitions:
            raise StoreRefused(
                f"{where} has {partitions} partitions, this process is set to {keys.partitions}; "
                f"set partitions={partitions} here, the number is fixed once and for all"
            )
        if oldest_reader > SCHEMA:
            raise StoreRefused(
                f"{where} was written by a newer release (key schema {schema}, readable from {oldest_reader} on, "
                f"this one knows {SCHEMA}); upgrade this program"
            )
        if schema < OLDEST_SCHEMA:
            raise StoreRefused(
                f"{where} has key schema {schema}, this release reads {OLDEST_SCHEMA} to {SCHEMA}; "
                "finish its workflows with the older release or use another namespace"
            )
        return partitions

    return Call("installation", (keys.installation(),), (keys.partitions, SCHEMA, OLDEST_READER), compare, durable=True)


def recorded_partitions(keys: Keys) -> Command:
    """How many partitions the installation there has; decodes to ``None`` where there is none."""
    return Command(("HGET", keys.installation(), "partitions"), lambda raw: None if raw is None else int(raw))


def decider_beat(keys: Keys, decider_id: str, ttl_ms: int) -> Call:
    """Say that a decider lives for ``ttl_ms`` more; replies the ids of all live deciders, sorted (``list[str]``)."""
    return Call("decider_beat", (keys.deciders(),), (decider_id, ttl_ms), _sorted_names)


def decider_leave(keys: Keys, decider_id: str) -> Call:
    """Say that a decider is gone; replies the ids of those that live."""
    return decider_beat(keys, decider_id, 0)


def live_deciders(keys: Keys) -> Call:
    """The ids of all live deciders, sorted, without saying anything of oneself."""
    return decider_leave(keys, "")


POLL_NOTES_MAX = 10_000


def note_polls(keys: Keys, notes: Sequence[PollNote]) -> Call:
    """Remember who polled; replies how many queues are remembered."""
    args: list[Argument] = [POLL_NOTES_MAX]
    for task_type, domain, worker, age_ms in notes:
        args += (_place(task_type, domain), age_ms, worker)
    return Call("note_polls", (keys.polls(),), args)


def list_polls(keys: Keys) -> Command:
    """The last poll of every queue that is remembered, by type and domain: ``list[PollData]``."""
    return Command(("HGETALL", keys.polls()), _poll_data)


def polled(keys: Keys, places: Sequence[tuple[str, str]]) -> Command:
    """When these task types were last polled in these domains: ``dict``, 0 for never; at least one."""
    fields = [_place(task_type, domain) for task_type, domain in places]
    return Command(("HMGET", keys.polls(), *fields), lambda raw: dict(zip(places, map(_polled_ms, raw), strict=True)))


def add_queues(keys: Keys, task_types: Iterable[str]) -> Command:
    """Remember that these task types have queues; at least one. Replies how many were not known."""
    return Command(("SADD", keys.queues(), *task_types))


def list_queues(keys: Keys) -> Command:
    """Every task type that has ever had a queue, sorted."""
    return Command(("SMEMBERS", keys.queues()), _sorted_names)


def add_places(keys: Keys, places: Iterable[str]) -> Command:
    """Remember that news of listeners goes to these addresses; at least one."""
    return Command(("SADD", keys.places(), *places))


def list_places(keys: Keys) -> Command:
    """Every address that news has ever been for, sorted."""
    return Command(("SMEMBERS", keys.places()), _sorted_names)


def _place(task_type: str, domain: str | None) -> str:
    return f"{task_type}\n{domain or ''}"


def _polled_ms(note: bytes | None) -> int:
    return int(note.partition(b" ")[0]) if note is not None else 0


def _poll_data(raw: Any) -> list[PollData]:
    found = []
    for field, note in sorted(_pairs(raw)):
        task_type, _, domain = field.decode().partition("\n")
        at_ms, _, worker = note.decode().partition(" ")
        found.append(PollData(queue_name=task_type, domain=domain or None, worker_id=worker, last_poll_time=int(at_ms)))
    return found


def _taskdef_keys(keys: Keys) -> tuple[str, str, str]:
    return keys.task_definitions(), keys.task_definition_revisions(), keys.revision()


def _put(raw: list[Any]) -> PutTaskDefinition:
    return PutTaskDefinition(Registered(raw[0].decode()), raw[1], raw[2] if len(raw) > 2 else None)


def _pairs(raw: Any) -> list[tuple[bytes, bytes]]:
    return list(zip(raw[::2], raw[1::2], strict=True))


def _sorted_map(raw: Any, convert: Callable[[bytes], Any]) -> dict[str, Any]:
    return dict(sorted((name.decode(), convert(value)) for name, value in _pairs(raw)))


def _sorted_names(raw: Iterable[bytes]) -> list[str]:
    return sorted(name.decode() for name in raw)
