"""The language of searches: what it says, what it refuses and where, and that what is written is what is meant."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.model.query import (
    AllOf,
    AnyOf,
    Condition,
    Is,
    Like,
    Order,
    judge,
    matches_words,
    ordered,
    parse_query,
    parse_sort,
    parse_text,
)
from orchestrator.model.status import WorkflowStatus
from orchestrator.model.summaries import TASK_FIELDS, WORKFLOW_FIELDS, WorkflowSummary, summary_to_dict, words_of
from tests.support.trees import TREES

LINES = [
    WorkflowSummary(
        workflow_id="w-1",
        workflow_type="order",
        version=1,
        status=WorkflowStatus.COMPLETED,
        correlation_id="x",
        start_time=1_000,
        end_time=3_000,
        execution_time=2_000,
        input='{"sku":"a*b"}',
        failed_task_names=["a", "b"],
    ),
    WorkflowSummary(
        workflow_id="w-2", workflow_type="order two", version=2, status=WorkflowStatus.RUNNING, start_time=2_000
    ),
    WorkflowSummary(
        workflow_id="w-3",
        workflow_type="ship AND bill",
        version=10,
        status=WorkflowStatus.FAILED,
        correlation_id="y",
        start_time=3_000,
        end_time=4_000,
        parent_workflow_id="w-1",
        reason_for_incompletion='said "no"',
    ),
]


def found(query: str) -> list[int]:
    holds = judge(parse_query(query))
    return [number for number, line in enumerate(LINES, 1) if holds(line)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [1, 2, 3]),
        ("  ", [1, 2, 3]),
        ("workflowType=order", [1]),
        ("workflowType = order two", [2]),
        ("workflowType = 'order two' ", [2]),
        ('workflowType="ship AND bill"', [3]),
        ("workflowType=order*", [1, 2]),
        ("workflowType=*e*o", [2]),
        ("workflowType=**", [1, 2, 3]),
        ("workflowType!=order*", [3]),
        (r"input=*a\*b*", [1]),
        (r"input=*a\*c*", []),
        ("workflowType STARTS_WITH ord", [1, 2]),
        ("workflowType STARTS_WITH 'o*'", []),
        ('correlationId = "x" ', [1]),
        ('correlationId=""', [2]),
        ("correlationId IS null", [2]),
        ("correlationId IS NOT NULL", [1, 3]),
        ("correlationId != x", [2, 3]),
        ("correlationId=*", [1, 3]),
        ("correlationId IN (x, 'y')", [1, 3]),
        ('correlationId IN (x,"")', [1, 2]),
        ("correlationId NOT IN (x,y)", [2]),
        ("correlationId NOT IN (x*,y)", [2]),
        ("correlationId IN (x)", [1]),
        ('parentWorkflowId=""', [1, 2]),
        ("status=RUNNING", [2]),
        ("status IN (FAILED,COMPLETED)", [1, 3]),
        ("version=10", [3]),
        ("version>2", [3]),
        ("version >= 2", [2, 3]),
        ("workflowType<p", [1, 2]),
        ("startTime>1000 AND startTime<3000", [2]),
        ('startTime BETWEEN "1000" AND 2000', [1, 2]),
        ("endTime<9999999999999", [1, 3]),
        ("endTime IS null", [2]),
        ("executionTime=2000", [1]),
        ("failedTaskNames='a,b'", [1]),
        ('reasonForIncompletion="said \\"no\\""', [3]),
        ("classifier=workflow", [1, 2, 3]),
        ("workflowId=w-1 OR workflowId=w-2 AND status=FAILED", [1]),
        ("(workflowId=w-1 OR workflowId=w-2) AND status=RUNNING", [2]),
        ("((status=RUNNING))", [2]),
    ],
)
def test_a_query_finds_what_it_says(query: str, numbers: list[int]) -> None:
    assert found(query) == numbers


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("colour=red", "query at 1: there is no field 'colour'; there are: workflowId, workflowType"),
        ("status=RUNNING AND", "query ends where the name of a field is expected"),
        ("status=RUNNING and version=1", "status 'RUNNING and version=1' is unknown"),
        ("status RUNNING", "query at 8: expected =, !=, <, >"),
        ("status=DONE", "status 'DONE' is unknown"),
        ("version=one", "version is a whole number, not 'one'"),
        ("version=99999999999999999999", "version is a whole number"),
        ("version=1*", "version is a number"),
        ("startTime>yesterday", "startTime is a time in epoch milliseconds, not 'yesterday'"),
        ("startTime>''", "compared with nothing"),
        ("startTime BETWEEN 1", "expected|is expected"),
        ("(status=RUNNING", r"query ends where '\)' is expected"),
        ("status=RUNNING)", r"query at 15: expected AND, OR or the end, found '\)'"),
        ("status IN ()", "expected a value"),
        ("status IS 1", "expected null"),
        ("workflowType=", "query ends where a value is expected"),
        ("workflowType='x", "expected a value"),
        ("(" * 60, "parentheses deep"),
        ("version=1" + " AND version=1" * 1_001, "conditions"),
        ("x" * 30_000, "longer than"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(query: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_query(query)


def test_many_wildcards_cost_one_walk() -> None:
    LINES[1].input = "a" * 60_000
    try:
        assert found("input=" + "a*" * 1_000 + "b") == []
        assert found("input=" + "*a" * 1_000) == [2]
    finally:
        LINES[1].input = ""


def written(tree: Condition) -> str:
    match tree:
        case AllOf(parts):
            return "(" + " AND ".join(written(part) for part in parts) + ")"
        case AnyOf(parts):
            return "(" + " OR ".join(written(part) for part in parts) + ")"
        case Is(field, values, is_not):
            return f"{field.name} {'NOT ' if is_not else ''}IN ({','.join(quoted(value) for value in values)})"
        case Like(field, parts, is_not):
            return f"{field.name}{'!=' if is_not else '='}" + '"' + "*".join(quoted(part)[1:-1] for part in parts) + '"'
        case Order(field, sign, value):
            return f"{field.name}{sign}{quoted(value)}"


def quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{text}"'


@given(TREES)
def test_what_is_written_is_what_is_meant(tree: Condition) -> None:
    assert parse_query(written(tree)) == tree


@given(st.text(alphabet="aANDORI( )='\",*<>!\\s1t", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_query("status=RUNNING OR " + text)


@pytest.mark.parametrize(
    ("text", "words", "is_found"),
    [
        (None, "a", True),
        ("*", "a", True),
        ("", "a", True),
        ("b a", "a b", True),
        ("a c", "a b", False),
        ('"a b"', "x a b", True),
        ('"b a"', "x a b", False),
        ("ORDER-17", "an order 17", True),
        ("order-17", "17 order", False),
        ("ord*", "an order", True),
        ("ord", "an order", False),
        ("order-1*", "order 17", True),
        ("Größe", "die größe", True),
        ("...", "a", True),
    ],
)
def test_free_text_is_words_phrases_and_beginnings(text: str | None, words: str, is_found: bool) -> None:
    assert matches_words(parse_text(text), words_of(words)) is is_found


def test_an_order_has_several_fields_and_absent_values_come_first() -> None:
    keys = parse_sort("correlationId:ASC|startTime:desc", WORKFLOW_FIELDS)
    assert [line.workflow_id for line in ordered(list(LINES), keys)] == ["w-2", "w-1", "w-3"]
    keys = parse_sort("correlationId:DESC", WORKFLOW_FIELDS)
    assert [line.workflow_id for line in ordered(list(LINES), keys)] == ["w-3", "w-1", "w-2"]
    for text in ("colour:ASC", "startTime:UP"):
        with pytest.raises(InvalidRequest, match="sort: "):
            parse_sort(text, WORKFLOW_FIELDS)


def test_the_fields_of_tasks_are_those_of_their_lines() -> None:
    assert parse_query("taskDefName=pay AND status=IN_PROGRESS AND queueWaitTime>5", TASK_FIELDS)
    with pytest.raises(InvalidRequest, match="status 'RUNNING' is unknown"):
        parse_query("status=RUNNING", TASK_FIELDS)


def test_a_line_shows_times_as_text_and_leaves_out_what_is_not_known() -> None:
    form = summary_to_dict(LINES[1])
    assert form["startTime"] == "1970-01-01T00:00:02.000Z"
    assert "endTime" not in form
    assert "correlationId" not in form
    assert (form["parentWorkflowId"], form["classifier"], form["failedTaskNames"]) == ("", "workflow", [])
