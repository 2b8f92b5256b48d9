"""JSON Schemas: what complies, where the first fault is, and that neither schema nor value can run away.

fastjsonschema is the second opinion: on random schemas and values both must agree on what complies.
"""

from __future__ import annotations

from typing import Any

import fastjsonschema
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from orchestrator.core.schemas import STEPS_MAX, schema_problems, violation
from orchestrator.model.definitions import SchemaDef, SchemaType
from tests.support.build import simple, step, task_def, terminate, workflow_def
from tests.support.happenings import completed, started
from tests.support.story import Story

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"},
        "amount": {"type": "integer", "minimum": 1},
        "lines": {"type": "array", "items": {"$ref": "#/properties/sku"}, "uniqueItems": True},
    },
    "additionalProperties": False,
}
SCHEMA = SchemaDef(name="order", data=ORDER)


def fault_of(schema: Any, value: Any) -> str | None:
    found = violation(SchemaDef(name="s", data=schema), value, "input")
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"sku": "ABC-1", "amount": 3.0, "lines": ["ABC-1", "ABC-2"]}, None),
        ({}, "input: must have the property 'sku'"),
        ([], "input: must be of type object, not array"),
        ({"sku": "ABC-1\n"}, "input.sku: must match the pattern '^[A-Z]{3}-[0-9]+$'"),
        ({"sku": "ABC-1", "amount": True}, "input.amount: must be of type integer, not boolean"),
        ({"sku": "ABC-1", "amount": 0}, "input.amount: must be at least 1"),
        ({"sku": "ABC-1", "lines": ["ABC-1", 3]}, "input.lines[1]: must be of type string, not number"),
        ({"sku": "ABC-1", "lines": ["A-1"]}, "input.lines[0]: must match the pattern '^[A-Z]{3}-[0-9]+$'"),
        ({"sku": "ABC-1", "lines": ["ABC-1"] * 2}, "input.lines: must not repeat an element; [1] was there before"),
        ({"sku": "ABC-1", "x": 1}, "input: must not have the property 'x'"),
    ],
)
def test_the_first_fault_is_named_with_its_path(value: Any, fault: str | None) -> None:
    assert fault_of(ORDER, value) == fault


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"enum": [1, "a", None, [1]]}, [1.0, "a", None, [1]], [True, "b", [True]]),
        ({"const": {"a": 0}}, [{"a": 0}], [{"a": False}, {}]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2], [1, 3]),
        ({"minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"multipleOf": 0.1}, [0.3, 2, "text"], [0.35]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "abc", 5], ["a", "abcd"]),
        ({"format": "date-time"}, ["2026-02-28T23:59:59Z", "2026-01-01T00:00:00.5+01:00"], ["2026-02-30T00:00:00Z"]),
        ({"format": "email"}, ["ada@example.org"], ["ada"]),
        ({"format": "ipv4"}, ["10.0.0.1"], ["10.0.0.256"]),
        ({"format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
        ({"format": "only a remark"}, ["anything"], []),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "null"}}, [["a", None], []], [[1], ["a", 1]]),
        ({"items": [{"type": "string"}], "additionalItems": False}, [["a"]], [["a", 1]]),
        ({"contains": {"const": 1}, "maxContains": 2}, [[1], [0, 1, 1]], [[], [1, 1, 1]]),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": False}, [{"x_a": 1}], [{"a": 1}]),
        ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}], [{"abc": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"dependencies": {"a": {"required": ["b"]}}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [0, 3]),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, ["a", 3], [1]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1]),
        ({"not": {"type": "null"}}, [1], [None]),
        ({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"minimum": 1}}, ["a", 1], ["", 0]),
        ({"properties": {"a": False, "b": True}}, [{"b": 1}], [{"a": 1}]),
        ({"$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}, "required": ["v"]}},
          "$ref": "#/$defs/tree"}, [{"v": 1, "next": {"v": 2}}], [{"v": 1, "next": {}}]),
    ],
)  # fmt: skip
def test_every_keyword_lets_through_what_complies_and_nothing_else(
    schema: Any, good: list[Any], bad: list[Any]
) -> None:
    assert schema_problems(SchemaDef(name="s", data=schema), True) == []
    assert [value for value in good if fault_of(schema, value)] == []
    assert [value for value in bad if not fault_of(schema, value)] == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "text"}, "data.type: unknown type 'text'"),
        ({"properties": {"a b": {"minimum": "1"}}}, "data.properties['a b'].minimum: must be a number"),
        ({"allOf": [{}, {"required": "a"}]}, "data.allOf[1].required: must be a list of property names"),
        ({"$ref": "https://example.org/order.json"}, "only references within the schema are followed"),
        ({"$ref": "#/$defs/nothing"}, "#/$defs/nothing leads nowhere"),
        ({"unevaluatedProperties": False}, "data.unevaluatedProperties: this keyword is not supported"),
        ({"pattern": "(a+)+$"}, "could run for hours"),
        ({"patternProperties": {"(": {}}}, "does not compile"),
        ({"enum": []}, "data.enum: must be a list of values"),
        ({"items": 3}, "a schema is an object, true or false"),
        ({"title": "x" * 300_000}, "is larger than 262,144 bytes"),
    ],
)
def test_a_schema_without_a_meaning_is_refused_with_its_path(schema: Any, problem: str) -> None:
    (found,) = schema_problems(SchemaDef(name="s", data=schema), True)
    assert problem in str(found)
    assert "cannot be used" in str(fault_of(schema, 1))


def test_a_schema_may_nest_only_so_deep() -> None:
    schema: Any = {"type": "integer"}
    for _ in range(200):
        schema = {"items": schema}
    (found,) = schema_problems(SchemaDef(name="s", data=schema), True)
    assert "nests deeper than 60" in found.message


@pytest.mark.parametrize("kind", [SchemaType.AVRO, SchemaType.PROTOBUF])
def test_other_languages_than_json_schema_are_refused_where_they_are_enforced(kind: SchemaType) -> None:
    schema = SchemaDef(name="s", type=kind, data={"fields": []})
    (problem,) = schema_problems(schema, True)
    assert problem.path == "type"
    assert f"schemas of type {kind} are not supported" in problem.message
    assert schema_problems(schema, False) == []


def test_an_external_reference_is_never_fetched() -> None:
    (problem,) = schema_problems(SchemaDef(name="s", external_ref="https://example.org/s.json"), True)
    assert (problem.path, problem.message[:23]) == ("externalRef", "externalRef is never fe")


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


BRANCH = {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"anyOf": [BRANCH, BRANCH]}, nested(30)),  # 2^30 ways to fail
        ({"$ref": "#"}, 1),
        ({"items": {"type": "integer"}}, [1] * STEPS_MAX),
        ({"uniqueItems": True}, [[index] for index in range(STEPS_MAX)]),
        ({"items": {"pattern": ".*=.*=.*x"}}, ["=" * 60] * 1000),
    ],
    ids=["ways", "circle", "size", "comparisons", "patterns"],
)
def test_what_would_take_too_long_is_given_up_and_said_so(schema: Any, value: Any) -> None:
    assert schema_problems(SchemaDef(name="s", data=schema), True) == []
    assert fault_of(schema, value) == "input: is too large or too deep to be checked against the schema s"


LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "abc"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)  # fmt: skip
SIMPLE = st.one_of(
    st.sampled_from(["null", "boolean", "integer", "string", "array", "object"]).map(lambda one: {"type": one}),
    st.fixed_dictionaries({}, optional={"minimum": st.integers(-2, 2), "exclusiveMaximum": st.integers(-2, 2)}),
    st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 2), "maxLength": st.integers(0, 3)}),
    st.lists(LEAVES.filter(lambda one: not isinstance(one, float)), min_size=1, max_size=3).map(lambda one: {"enum": one}),
)  # fmt: skip
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda one: {"anyOf": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda one: {"oneOf": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda one: {"allOf": one}),
        inner.map(lambda one: {"not": one}),
        inner.map(lambda one: {"items": one}),
        inner.map(lambda one: {"contains": one}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2)},
            optional={
                "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
                "additionalProperties": st.booleans(),
            },
        ),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, VALUES)
def test_a_second_opinion_agrees_on_what_complies(schema: dict[str, Any], value: Any) -> None:
    document = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    try:
        validate = fastjsonschema.compile(document, use_default=False)
    except fastjsonschema.JsonSchemaDefinitionException:
        reject()  # it takes no schema that demands what it also forbids
    try:
        validate(value)
        complies = True
    except fastjsonschema.JsonSchemaValueException:
        complies = False
    assert (fault_of(document, value) is None) == complies


# --- in a workflow ----------------------------------------------------------------------------------------------------

NUMBERED = SchemaDef(name="numbered", data={"required": ["n"], "properties": {"n": {"type": "integer"}}})


def test_a_workflow_whose_input_breaks_its_schema_fails_before_its_first_task() -> None:
    story = Story(workflow_def(simple("a"), input_schema=NUMBERED), input={"n": "one"}).when(started())
    story.expect("FAILED", reason="input does not comply with its schema: input.n: must be of type integer, not string")
    assert story.scheduled == {}


def test_a_schema_that_is_not_enforced_is_documentation() -> None:
    story = Story(workflow_def(simple("a"), input_schema=NUMBERED, enforce_schema=False), input={}).when(started())
    story.expect("RUNNING", open=["a"])


def test_a_task_whose_input_breaks_its_schema_fails_for_good_and_is_never_queued() -> None:
    policy = task_def("a", input_schema=NUMBERED, enforce_schema=True, retry_count=3)
    story = Story(workflow_def(simple("a", {"n": "${workflow.input.n}"})), input={"n": None}, task_defs=[policy])
    story.when(started()).expect("FAILED", tasks={"a": "FAILED_WITH_TERMINAL_ERROR"})
    assert "input.n: must be of type integer, not null" in (story.task("a").reason or "")
    assert (story.task("a").input, story.enqueues_of("a")) == ({"n": None}, [])


def test_a_task_whose_output_breaks_its_schema_failed_and_is_retried() -> None:
    policy = task_def("a", output_schema=NUMBERED, enforce_schema=True, retry_count=1)
    story = Story(workflow_def(simple("a")), task_defs=[policy]).when(started(), completed("a", {"n": "x"}))
    assert story.earlier("a", 0).status == "FAILED"
    assert "output.n: must be of type integer" in (story.earlier("a", 0).reason or "")
    assert story.earlier("a", 0).output == {"n": "x"}
    story.when(completed("a", {"n": 1})).expect("COMPLETED", output={"n": 1})


def test_a_task_definition_enforces_nothing_unless_it_says_so() -> None:
    policy = task_def("a", input_schema=NUMBERED, output_schema=NUMBERED)
    Story(workflow_def(simple("a")), task_defs=[policy]).when(started(), completed("a")).expect("COMPLETED")


@pytest.mark.parametrize("ending", [[simple("a")], [simple("a"), terminate("stop", workflowOutput={"n": "x"})]])
def test_a_workflow_whose_output_breaks_its_schema_is_failed(ending: list[Any]) -> None:
    definition = workflow_def(*ending, output_schema=NUMBERED, failure_workflow="repair")
    story = Story(definition).when(started(), completed("a", {"n": "x"}))
    story.expect("FAILED", reason="output does not comply with its schema: output.n: must be of type integer")
    assert story.output["n"] == "x"
    assert [start.meta.name for start in story.sent(type(story.handoffs[-1]))] == ["repair"]


def test_a_workflow_that_fails_anyway_keeps_its_reason() -> None:
    definition = workflow_def(terminate("stop", "FAILED", terminationReason="no stock"), output_schema=NUMBERED)
    Story(definition).when(started()).expect("FAILED", reason="no stock")


def test_what_an_outside_caller_reports_is_judged_like_a_workers_word() -> None:
    policy = task_def("ask", output_schema=NUMBERED, enforce_schema=True, retry_count=0)
    story = Story(workflow_def(step("WAIT", "ask")), task_defs=[policy]).when(started())
    story.when(completed("ask", {"n": None}, delivery=-1)).expect("FAILED", tasks={"ask": "FAILED"})
