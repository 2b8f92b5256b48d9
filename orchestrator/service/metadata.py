"""Definitions: check them, store them, read them back; of workflows by name and version, of tasks by name.

Schemas go through here when they are stored (see ``schemas``, where they are read).

What is stored has been judged by every rule and by what this engine can run, so that a mistake shows where the
definition is written and not in the middle of an execution. Writing a TaskDef also brings its limits to its
queue at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from orchestrator.clock import SystemClock
from orchestrator.engine.extras import require_extras
from orchestrator.engine.relay import limits_of
from orchestrator.engine.starts import check_runnable, size_problems
from orchestrator.errors import (
    Conflict,
    DefinitionInvalid,
    DefinitionNotFound,
    InvalidRequest,
    MissingExtra,
    Problem,
)
from orchestrator.model.definitions import RateLimitConfig, SchemaDef, TaskDef, WorkflowDef, walk
from orchestrator.model.validation import validate_task_def
from orchestrator.model.wire import task_def_from_dict, task_def_to_dict, workflow_def_from_dict, workflow_def_to_dict
from orchestrator.plan import Command, Plan
from orchestrator.service import schemas, tag_members
from orchestrator.service.bulk import BulkResult
from orchestrator.service.tag_members import Tagged
from orchestrator.store import catalog, queue
from orchestrator.store.catalog import PutTaskDefinition, Registered
from orchestrator.store.context import StoreContext

_clock = SystemClock()

_TIMES = frozenset({"createTime", "updateTime"})
_AUDIT = frozenset({"createTime", "updateTime", "createdBy", "updatedBy", "ownerApp"})


class Applied(NamedTuple):
    """One definition that was stored; ``version`` is ``None`` for a task, ``changed`` whether its text is new."""

    kind: str  # workflow, task or schema
    name: str
    version: int | None
    changed: bool


# --- workflows --------------------------------------------------------------------------------------------------------


def validate(store: StoreContext, definition: WorkflowDef) -> Plan[list[Problem]]:
    """Everything that would make registering it fail; empty when it is fine."""
    known = yield from _task_defs_of(store, [definition])
    (filled,) = yield from schemas.completed(store, [definition])
    return check_runnable(filled, find_task_def=known)


def register_workflow(store: StoreContext, definition: WorkflowDef, *, overwrite: bool = False) -> Plan[Applied]:
    """Store one version of a workflow; the very same text again is no conflict.

    Raises ``DefinitionInvalid`` with every problem, and ``Conflict`` when the version holds another text.
    Example: ``executor.run(register_workflow(store, hello.definition()))``
    """
    (applied,) = yield from apply(store, [definition], overwrite=overwrite)
    return applied


def get_workflow(store: StoreContext, name: str, version: int | None = None) -> Plan[WorkflowDef]:
    """One version, by default the latest. Raises ``DefinitionNotFound``."""
    stored = yield catalog.get_workflow(store.keys, name, version)
    if stored is None:
        shown = f"version {version}" if version is not None else "any version"
        raise DefinitionNotFound(
            f"No such workflow found by name: {name}, {shown}; list them with: orchestrator def list"
        )
    return _workflow(stored.body)


def workflow_versions(store: StoreContext, name: str) -> Plan[list[WorkflowDef]]:
    """Every version of a workflow, oldest first. Raises ``DefinitionNotFound``."""
    stored = yield catalog.workflow_versions(store.keys, name)
    if not stored:
        raise DefinitionNotFound(f"No such workflow found by name: {name}; list them with: orchestrator def list")
    return [_workflow(entry.body) for entry in stored]


def list_workflows(store: StoreContext) -> Plan[list[WorkflowDef]]:
    """The latest version of every workflow, by name."""
    latest: dict[str, int] = yield catalog.list_workflows(store.keys)
    stored = (yield [catalog.get_workflow(store.keys, name) for name in latest]) if latest else []
    found = []
    for entry in stored:
        if isinstance(entry, Exception):
            raise entry
        if entry is not None:  # deleted in between
            found.append(_workflow(entry.body))
    return found


def every_version(store: StoreContext) -> Plan[list[WorkflowDef]]:
    """Every version of every workflow, by name, the oldest first."""
    latest: dict[str, int] = yield catalog.list_workflows(store.keys)
    replies = (yield [catalog.workflow_versions(store.keys, name) for name in latest]) if latest else []
    found = []
    for stored in replies:
        if isinstance(stored, Exception):
            raise stored
        found += [_workflow(entry.body) for entry in stored]
    return found


def workflow_names(store: StoreContext) -> Plan[list[str]]:
    """The names of all workflows, sorted."""
    latest: dict[str, int] = yield catalog.list_workflows(store.keys)
    return list(latest)


def put_workflows(store: StoreContext, definitions: Sequence[WorkflowDef]) -> Plan[BulkResult]:
    """Store each of these definitions, replacing what stands under its version; errors are given by name, not raised."""
    result = BulkResult([], {})
    for definition in definitions:
        try:
            yield from apply(store, [definition])
        except (DefinitionInvalid, MissingExtra) as error:
            result.failed[definition.name] = str(error)
        else:
            result.succeeded.append(definition.name)
    return result


def delete_workflow(store: StoreContext, name: str, version: int) -> Plan[None]:
    """Forget one version, with the tags if it is the last; executions keep their copy. Raises ``DefinitionNotFound``."""
    stored = yield catalog.workflow_versions(store.keys, name)
    if [entry.version for entry in stored] == [version]:
        yield from tag_members.forget(store, Tagged.WORKFLOW, name)
    if not (yield catalog.delete_workflow(store.keys, name, version)):
        raise DefinitionNotFound(f"No such workflow found by name: {name}, version {version}; nothing was deleted")


# --- tasks ------------------------------------------------------------------------------------------------------------


def limit_executions(store: StoreContext, name: str, limit: RateLimitConfig | None) -> Plan[None]:
    """Let no more executions of a workflow run at once, whatever their version; without a limit, any number.

    Raises ``DefinitionNotFound`` and ``DefinitionInvalid``.
    """
    yield from get_workflow(store, name)
    versions = yield from workflow_versions(store, name)
    yield from apply(store, [replace(version, rate_limit_config=limit) for version in versions])


def put_task_def(store: StoreContext, task_def: TaskDef) -> Plan[Applied]:
    """Store a task definition, replacing the one there is. Raises ``DefinitionInvalid``."""
    (applied,) = yield from apply(store, [task_def])
    return applied


def put_task_defs(store: StoreContext, task_defs: Sequence[TaskDef]) -> Plan[list[Applied]]:
    """Store task definitions, replacing those there are. Raises ``DefinitionInvalid``, ``InvalidRequest`` for none."""
    if not task_defs:
        raise InvalidRequest("TaskDef list cannot be empty or null.")
    return (yield from apply(store, task_defs))


def put_absent_task_defs(store: StoreContext, task_defs: Sequence[TaskDef]) -> Plan[list[PutTaskDefinition]]:
    """Store those that nobody has stored yet; what stands in the way of another stays and is handed back."""
    task_defs = yield from schemas.completed(store, task_defs)
    replies = yield [
        catalog.put_task_definition(store.keys, task_def.name, _body(task_def), only_if_absent=True)
        for task_def in task_defs
    ]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    new = [
        (task_def, reply.revision)
        for task_def, reply in zip(task_defs, replies, strict=True)
        if reply.result is Registered.OK
    ]
    yield from _push_limits(store, new)
    return list(replies)


def introduce(store: StoreContext, task_defs: Sequence[TaskDef]) -> Plan[None]:
    """Store those that nobody has stored yet, for whoever only starts what they are of."""
    yield from put_absent_task_defs(store, task_defs)


def get_task_def(store: StoreContext, name: str) -> Plan[TaskDef]:
    """The registered definition of a task. Raises ``DefinitionNotFound``."""
    body = yield catalog.get_task_definition(store.keys, name)
    if body is None:
        raise DefinitionNotFound(f"No such taskType found by name: {name}; list them with: orchestrator taskdef list")
    return _task(body)


def replace_task_def(store: StoreContext, task_def: TaskDef) -> Plan[Applied]:
    """Replace the registered definition of a task. Raises ``DefinitionNotFound`` when there is none."""
    yield from get_task_def(store, task_def.name)
    return (yield from put_task_def(store, task_def))


def delete_task_def(store: StoreContext, name: str) -> Plan[None]:
    """Forget the definition of a task; its limits and tags end with it. Raises ``DefinitionNotFound``."""
    yield from tag_members.forget(store, Tagged.TASK, name)
    revision = yield catalog.delete_task_definition(store.keys, name)
    if revision is None:
        raise DefinitionNotFound(f"No such taskType found by name: {name}; nothing was deleted")
    for task_type, limit in limits_of({}, {name: revision}, store.settings.rate_guard_ms).items():
        yield from queue.set_limits(store.queues, task_type, limit)


def list_task_defs(store: StoreContext) -> Plan[list[TaskDef]]:
    """Every registered task definition, by name."""
    stored: dict[str, bytes] = yield catalog.list_task_definitions(store.keys)
    return [_task(body) for body in stored.values()]


# --- both -------------------------------------------------------------------------------------------------------------


def apply(
    store: StoreContext, definitions: Sequence[WorkflowDef | TaskDef | SchemaDef], *, overwrite: bool = True
) -> Plan[list[Applied]]:
    """Check all, then store all: tasks before workflows, so that no workflow meets a task without its policy.

    What only names a schema is stored with its text, which may be among ``definitions``.

    Raises ``DefinitionInvalid`` with the problems of all of them before anything is written, and ``Conflict`` for a
    workflow version that holds another text when ``overwrite`` is off.
    """
    given, task_defs, workflows = yield from check(store, definitions)
    applied = []
    for schema in given:
        stored = yield from schemas.put(store, schema, overwrite=overwrite)
        if stored is Registered.EXISTS:
            raise Conflict(
                f"Schema {schema.name} already exists in version {schema.version}! Give yours a new version, or replace "
                "the stored one (overwrite=True, orchestrator schema apply)"
            )
        applied.append(Applied("schema", schema.name, schema.version, stored is Registered.OK))
    for task_def in task_defs:
        before = yield catalog.get_task_definition(store.keys, task_def.name)
        body = _stamped(before, _body(task_def))
        put = yield catalog.put_task_definition(store.keys, task_def.name, body)
        yield from _push_limits(store, [(task_def, put.revision)])
        applied.append(Applied("task", task_def.name, None, put.result is Registered.OK))
    for workflow in workflows:
        there = yield catalog.get_workflow(store.keys, workflow.name, workflow.version)
        written = msgspec.json.encode(workflow_def_to_dict(workflow))
        body = _stamped(there.body if there is not None else None, written)
        word = yield catalog.register_workflow(store.keys, workflow.name, workflow.version, body, overwrite=overwrite)
        if word is Registered.EXISTS:
            raise Conflict(
                f"Workflow with {workflow.name}.{workflow.version} already exists! Give yours a new version, or "
                "replace the stored one (overwrite=True, orchestrator def apply)"
            )
        applied.append(Applied("workflow", workflow.name, workflow.version, word is Registered.OK))
    return applied


def check(
    store: StoreContext, definitions: Sequence[WorkflowDef | TaskDef | SchemaDef]
) -> Plan[tuple[list[SchemaDef], list[TaskDef], list[WorkflowDef]]]:
    """These definitions by kind, as they would be stored. Raises ``DefinitionInvalid`` with the problems of all of them."""
    given = [definition for definition in definitions if isinstance(definition, SchemaDef)]
    task_defs = yield from schemas.completed(store, [one for one in definitions if isinstance(one, TaskDef)], given)
    workflows = yield from schemas.completed(store, [one for one in definitions if isinstance(one, WorkflowDef)], given)
    yield from _check(store, given, task_defs, workflows)
    return given, list(task_defs), list(workflows)


def put_schemas(store: StoreContext, given: Sequence[SchemaDef], *, new_version: bool = False) -> Plan[None]:
    """Store schemas, replacing those of the same version, or each as the next version. Raises ``DefinitionInvalid``."""
    for schema in given:
        yield from apply(store, [(yield from schemas.next_version(store, schema)) if new_version else schema])


def _check(
    store: StoreContext, given: Sequence[SchemaDef], task_defs: Sequence[TaskDef], workflows: Sequence[WorkflowDef]
) -> Plan[None]:
    require_extras(workflows)
    known = yield from _task_defs_of(store, workflows)
    new = {task_def.name: task_def for task_def in task_defs}
    found = [(f"schema {schema.name!r}", schemas.problems_of(schema)) for schema in given]
    for task_def in task_defs:
        problems = [*validate_task_def(task_def), *schemas.problems_of(task_def)]
        found.append((f"task {task_def.name!r}", problems))
    for workflow in workflows:
        problems = check_runnable(workflow, find_task_def=lambda name: new.get(name) or known(name))
        problems = problems or size_problems(msgspec.json.encode(workflow_def_to_dict(workflow)))
        found.append((f"workflow {workflow.name!r}", problems))
    bad = [(what, problems) for what, problems in found if problems]
    if len(bad) == 1:
        raise DefinitionInvalid(*bad[0])
    if bad:
        problems = [Problem(f"{what} {p.path}", p.message, p.value) for what, problems in bad for p in problems]
        raise DefinitionInvalid(", ".join(what for what, _ in bad), problems)


def _task_defs_of(store: StoreContext, workflows: Sequence[WorkflowDef]) -> Plan[Callable[[str], TaskDef | None]]:
    """The registered definitions of the tasks these workflows use, in one read."""
    names = sorted({task.name for workflow in workflows for _, task in walk(workflow) if task.name})
    bodies = (yield Command(("HMGET", store.keys.task_definitions(), *names))) if names else []
    found = {name: _task(body) for name, body in zip(names, bodies, strict=True) if body is not None}
    return found.get


def _push_limits(store: StoreContext, stored: Sequence[tuple[TaskDef, int]]) -> Plan[None]:
    """Deciders bring limits along when they next enqueue; a queue that is full right now should not wait for that."""
    limits = limits_of(
        {task_def.name: task_def for task_def, _ in stored},
        {task_def.name: revision for task_def, revision in stored},
        store.settings.rate_guard_ms,
    )
    for name, limit in limits.items():
        yield from queue.set_limits(store.queues, name, limit)


def _body(task_def: TaskDef) -> bytes:
    # Without empty audit fields, as a starting worker writes it: the same definition is the same text.
    fields = task_def_to_dict(task_def)
    return msgspec.json.encode({name: value for name, value in fields.items() if value or name not in _AUDIT})


def _stamped(before: bytes | None, written: bytes) -> bytes:
    """What is to be stored: with the times of its creation and change, or what is there if it says the same."""
    old: dict[str, Any] = msgspec.json.decode(before) if before is not None else {}
    new: dict[str, Any] = msgspec.json.decode(written)
    if before is not None and all(old.get(name) == new.get(name) for name in (old.keys() | new.keys()) - _TIMES):
        return before
    now_ms = _clock.now_ms()
    return msgspec.json.encode(
        {**new, "createTime": old.get("createTime") or new.get("createTime") or now_ms, "updateTime": now_ms}
    )


def _workflow(body: bytes) -> WorkflowDef:
    return workflow_def_from_dict(msgspec.json.decode(body), check=None)


def _task(body: bytes) -> TaskDef:
    return task_def_from_dict(msgspec.json.decode(body), check=None)
