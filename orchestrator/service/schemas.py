"""Schemas by name: stored in the catalog by name and version, and copied into the definitions that name them.

A definition is stored with the text of its schemas, so whoever validates needs nothing else, and what runs does not
change because a schema did: a new version of a schema takes effect when the definition that names it is applied again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from orchestrator.core.schemas import schema_problems, violation
from orchestrator.errors import DefinitionNotFound, Problem, SchemaViolation
from orchestrator.model.definitions import SchemaDef, SchemaType, TaskDef, WorkflowDef
from orchestrator.model.wire import schema_def_from_dict, schema_def_to_dict
from orchestrator.plan import Plan
from orchestrator.store import catalog
from orchestrator.store.catalog import Registered
from orchestrator.store.context import StoreContext

_Definition = TypeVar("_Definition", WorkflowDef, TaskDef)

Schemas = Mapping[tuple[str, int], SchemaDef]
"""Schemas by name and version."""


def put(store: StoreContext, schema: SchemaDef, *, overwrite: bool) -> Plan[Registered]:
    """Store one version of a schema that was judged before."""
    body = msgspec.json.encode(schema_def_to_dict(schema))
    word: Registered = yield catalog.register_schema(store.keys, schema.name, schema.version, body, overwrite=overwrite)
    return word


def get(store: StoreContext, name: str, version: int | None = None) -> Plan[SchemaDef]:
    """One version, by default the latest. Raises ``DefinitionNotFound``."""
    body = yield catalog.get_schema(store.keys, name, version)
    if body is None:
        shown = f"version {version}" if version is not None else "any version"
        raise DefinitionNotFound(f"No such schema: {name}, {shown}; list them with: orchestrator schema list")
    return _schema(body)


def list_all(store: StoreContext) -> Plan[list[SchemaDef]]:
    """The latest version of every schema, by name."""
    latest: dict[str, int] = yield catalog.list_schemas(store.keys)
    bodies = (yield [catalog.get_schema(store.keys, name) for name in latest]) if latest else []
    for body in bodies:
        if isinstance(body, Exception):
            raise body
    return [_schema(body) for body in bodies if body is not None]  # one may have been deleted in between


def delete(store: StoreContext, name: str, version: int) -> Plan[None]:
    """Forget one version; definitions keep their copies. Raises ``DefinitionNotFound``."""
    if not (yield catalog.delete_schema(store.keys, name, version)):
        raise DefinitionNotFound(f"No such schema: {name}, version {version}; nothing was deleted")


def delete_all(store: StoreContext, name: str) -> Plan[None]:
    """Forget every version. Raises ``DefinitionNotFound``."""
    versions: list[int] = yield catalog.schema_versions(store.keys, name)
    if not versions:
        raise DefinitionNotFound(f"No such schema: {name}; list them with: orchestrator schema list")
    yield [catalog.delete_schema(store.keys, name, version) for version in versions]


def next_version(store: StoreContext, schema: SchemaDef) -> Plan[SchemaDef]:
    """The schema under the version behind the latest one that is stored."""
    versions: list[int] = yield catalog.schema_versions(store.keys, schema.name)
    return replace(schema, version=max(versions, default=0) + 1)


def problems_of(definition: TaskDef | SchemaDef) -> list[Problem]:
    """What is wrong with the schemas of a task definition, or with a schema that is to be stored."""
    if isinstance(definition, SchemaDef):
        found = schema_problems(definition, True)
        return [*([] if definition.name else [Problem("name", "a schema needs a name", definition.name)]), *found]
    return [
        Problem(f"{field}.{problem.path}", problem.message, problem.value)
        for field, schema in (("inputSchema", definition.input_schema), ("outputSchema", definition.output_schema))
        if schema is not None
        for problem in schema_problems(schema, definition.enforce_schema)
    ]


def completed(
    store: StoreContext, definitions: Sequence[_Definition], beside: Sequence[SchemaDef] = ()
) -> Plan[list[_Definition]]:
    """The definitions with the text of every schema that they only name; ``beside`` are about to be stored too.

    A name that is not found is left as it is, for the rules to complain about.
    """
    known = {(schema.name, schema.version): schema for schema in beside}
    wanted = sorted({key for definition in definitions for key in _named(definition)} - known.keys())
    bodies = (yield [catalog.get_schema(store.keys, name, version) for name, version in wanted]) if wanted else []
    for key, body in zip(wanted, bodies, strict=True):
        if isinstance(body, Exception):
            raise body
        if body is not None:
            known[key] = _schema(body)
    return [_filled(definition, known) if known else definition for definition in definitions]


def require_valid_input(definition: WorkflowDef, given: Mapping[str, object]) -> None:
    """Raise ``SchemaViolation`` when a workflow may not be started with this input."""
    if definition.input_schema is None or not definition.enforce_schema:
        return
    fault = violation(definition.input_schema, given, "input")
    if fault is not None:
        raise SchemaViolation(
            fault.path, f"{fault.message} (schema {definition.input_schema.name} of workflow {definition.name})"
        )


def _named(definition: WorkflowDef | TaskDef) -> list[tuple[str, int]]:
    schemas = (definition.input_schema, definition.output_schema)
    return [(schema.name, schema.version) for schema in schemas if schema is not None and _is_name(schema)]


def _is_name(schema: SchemaDef) -> bool:
    return schema.data is None and not schema.external_ref and schema.type is SchemaType.JSON and bool(schema.name)


def _filled(definition: _Definition, known: Schemas) -> _Definition:
    def filled(schema: SchemaDef | None) -> SchemaDef | None:
        return known.get((schema.name, schema.version), schema) if schema is not None and _is_name(schema) else schema

    schemas = (filled(definition.input_schema), filled(definition.output_schema))
    return replace(definition, input_schema=schemas[0], output_schema=schemas[1])


def _schema(body: bytes) -> SchemaDef:
    return schema_def_from_dict(msgspec.json.decode(body))
