"""Schemas in the catalog and what they do to a start: by name and version, copied into definitions, refused by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import TaskContext, Workflow, task
from orchestrator.errors import Conflict, DefinitionInvalid, DefinitionNotFound, SchemaViolation
from orchestrator.model.definitions import SchemaDef, SchemaType, TaskDef
from orchestrator.service import metadata, schemas
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked

ORDER = SchemaDef(name="order", data={"required": ["sku"], "properties": {"sku": {"type": "string"}}})


@task
def ship(sku: str) -> str:
    return f"{sku} shipped"


def shipping(**options: Any) -> Workflow:
    return Workflow("shipping", **options).then(ship, sku="${workflow.input.sku}")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation that serves ``ship``."""
    with environment([ship]) as env:
        yield env


def test_a_start_that_breaks_the_schema_is_refused_with_the_path(env: Environment) -> None:
    workflow = shipping(input_schema=ORDER)
    with pytest.raises(
        SchemaViolation, match=r"input\.sku: must be of type string, not number \(schema order of"
    ) as info:
        env.client.start_workflow(workflow, sku=3)
    assert info.value.path == "input.sku"
    assert env.client.list_workflows().total == 0
    assert env.client.execute_workflow(workflow, sku="x") == {"result": "x shipped"}


def test_the_template_is_laid_under_the_input_before_it_is_judged(env: Environment) -> None:
    workflow = shipping(input_schema=ORDER, input_template={"sku": "standard"})
    assert env.client.execute_workflow(workflow) == {"result": "standard shipped"}
    assert env.client.execute_workflow(workflow, sku=None) == {"result": "standard shipped"}


def test_many_starts_are_judged_one_by_one(env: Environment) -> None:
    env.client.register(shipping(input_schema=ORDER))
    with pytest.raises(SchemaViolation):
        env.client.start_workflow("shipping", sku=None)
    assert env.client.execute_workflow("shipping", sku="y") == {"result": "y shipped"}


def test_a_registered_schema_is_named_and_its_text_is_stored_with_the_definition(env: Environment) -> None:
    env.client.register(ORDER)
    applied = env.client.register(shipping(input_schema="order"))
    assert [(one.kind, one.name) for one in applied] == [("task", "ship"), ("workflow", "shipping")]
    stored = asked(env, metadata.get_workflow, "shipping")
    assert stored.input_schema == ORDER
    asked(env, schemas.delete, "order", 1)
    with pytest.raises(SchemaViolation):
        env.client.start_workflow("shipping")


def test_a_schema_and_what_names_it_are_registered_together(env: Environment) -> None:
    named = TaskDef(name="pay", input_schema=SchemaDef(name="order"), enforce_schema=True)
    applied = env.client.register(named, shipping(input_schema="order").definition(), ORDER)
    assert [one.kind for one in applied] == ["schema", "task", "workflow"]
    assert asked(env, metadata.get_task_def, "pay").input_schema == ORDER


def test_a_workflow_object_may_name_a_registered_schema_too(env: Environment) -> None:
    env.client.register(ORDER)
    with pytest.raises(SchemaViolation):
        env.client.start_workflow(shipping(input_schema="order"), sku=3)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (SchemaDef(name="nobody", version=7), "inputSchema.data: there is no schema 'nobody' in version 7"),
        (SchemaDef(name="a", type=SchemaType.AVRO), "inputSchema.type: schemas of type AVRO are not supported"),
        (
            SchemaDef(name="a", data={"properties": {"a": {"type": 3}}}),
            "inputSchema.data.properties.a.type: unknown type",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_registration(
    env: Environment, schema: SchemaDef, problem: str
) -> None:
    with pytest.raises(DefinitionInvalid) as info:
        env.client.register(shipping(input_schema=schema))
    assert problem in str(info.value)
    with pytest.raises(DefinitionInvalid) as info:
        env.client.register(TaskDef(name="ship", input_schema=schema, enforce_schema=True))
    assert problem in str(info.value)
    with pytest.raises(DefinitionInvalid):
        env.client.start_workflow(shipping(input_schema=schema), sku="x")
    assert env.client.register(shipping(input_schema=schema, enforce_schema=False))


def test_versions_of_a_schema_are_kept_and_none_is_replaced_unasked(env: Environment) -> None:
    second = SchemaDef(name="order", version=2, data={"type": "object"})
    env.client.register(ORDER, second)
    assert asked(env, schemas.get, "order") == second
    assert asked(env, schemas.get, "order", 1) == ORDER
    assert asked(env, schemas.list_all) == [second]
    with pytest.raises(Conflict, match="already exists in version 2"):
        asked(env, metadata.apply, [SchemaDef(name="order", version=2, data={})], overwrite=False)
    asked(env, schemas.delete, "order", 2)
    assert asked(env, schemas.get, "order") == ORDER
    with pytest.raises(DefinitionNotFound, match="schema list"):
        asked(env, schemas.get, "order", 2)
    with pytest.raises(DefinitionNotFound, match="nothing was deleted"):
        asked(env, schemas.delete, "order", 2)


def test_a_broken_schema_is_not_stored(env: Environment) -> None:
    with pytest.raises(DefinitionInvalid, match=r"data\.type"):
        env.client.register(SchemaDef(name="broken", data={"type": "text"}))
    assert asked(env, schemas.list_all) == []


@dataclass
class Parcel:
    weight: float
    tags: list[str]


@task(enforce_schema=True)
def weigh(parcel: Parcel, context: TaskContext, note: str = "none", **rest: Any) -> int:
    return round(parcel.weight)


@task(enforce_schema=True)
def pack(input: dict[str, Any]) -> Parcel:
    return Parcel(1.5, [])


def test_the_schemas_of_a_task_come_from_its_type_hints() -> None:
    definition = weigh.definition()
    assert definition.input_schema is not None
    assert definition.input_schema.data is not None
    assert definition.input_schema.name == "weigh_input"
    assert definition.input_schema.data["required"] == ["parcel"]
    assert definition.input_schema.data["properties"]["parcel"] == {"$ref": "#/$defs/Parcel"}
    assert definition.output_schema == SchemaDef(
        name="weigh_output",
        data={"type": "object", "properties": {"result": {"type": "integer"}}, "required": ["result"]},
    )
    assert pack.definition().input_schema is None
    assert schemas.problems_of(definition) == []
    assert schemas.problems_of(pack.definition()) == []


def test_a_task_runs_under_the_schemas_of_its_type_hints(environment: MakeEnvironment) -> None:
    flow = Workflow("weighing").then(pack).then(weigh, parcel="${pack.output}", note=None)
    wrong = Workflow("wrong").then(weigh, parcel={"weight": "heavy", "tags": []})
    with environment([pack, weigh]) as env:
        assert env.client.execute_workflow(flow) == {"result": 2}
        handle = env.client.start_workflow(wrong)
        assert handle.status() == "FAILED"
        assert "input.parcel.weight: must be of type number, not string" in (
            handle.describe().reason_for_incompletion or ""
        )


def test_a_dataclass_is_a_schema_too(env: Environment) -> None:
    workflow = Workflow("typed", input_schema=Parcel).noop()
    with pytest.raises(SchemaViolation, match=r"input\.tags\[0\]: must be of type string"):
        env.client.start_workflow(workflow, weight=1, tags=[1])


def test_the_template_and_the_schema_of_a_failure_workflow_count_too(env: Environment) -> None:
    repair = Workflow("repair", input_template={"sku": "standard"}, input_schema={"required": ["never"]}).noop()
    env.client.register(repair)
    failing = Workflow("failing", on_failure="repair").terminate("FAILED", reason="no stock")
    env.client.start_workflow(failing)
    env.run_until_quiet()
    (found,) = env.client.list_workflows(name="repair").items
    described = env.client.workflow(found.workflow_id).describe()
    assert described.input["sku"] == "standard"
    assert (described.status, "must have the property 'never'" in str(described.reason_for_incompletion)) == (
        "FAILED",
        True,
    )
