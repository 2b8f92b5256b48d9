"""The catalog: definitions of workflows and tasks, and what else users store by name.

All of it lives in one slot, with what is true of the installation (``installation``). Workflow definitions are kept by
name and version; task definitions carry a revision that grows with every change, so that a process learns all changes
since its last look with one small read. Every function returns the call to make. Definitions are JSON bytes that nobody
looks into here. Callers: the service and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.plan import Call, Command
from orchestrator.store.keys import Keys


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
