"""What a task shares the workers by: which value it is, where it comes from, and where it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.definitions import TaskDef
from orchestrator.model.effects import Enqueue
from tests.support.build import simple, step, task_def, workflow_def
from tests.support.happenings import completed, failed, later, started
from tests.support.story import Story

GIVEN: dict[str, Any] = {
    "tenant": "acme",
    "size": 3,
    "tags": ["b", "a"],
    "long": "x" * 200,
    "odd": "a\nb",
    "none": None,
}


def keys_of(key: str | None, **fields: Any) -> list[str]:
    shared = task_def("resize", fairness_key=key, **fields)
    story = Story(workflow_def(simple("resize", {"who": "me"})), input=GIVEN, task_defs=[shared]).when(started())
    assert [one.keys for one in story.sent(Enqueue)] == [story.task("resize").record.scheduled.keys]
    return [one.keys for one in story.sent(Enqueue)]


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        (None, ""),
        ("", ""),
        ("${workflow.input.tenant}", "=acme\n"),
        ("${who}", "=me\n"),
        ("${workflow.input.tenant}/${who}", "=acme/me\n"),
        ("${workflow.input.size}", "=3\n"),
        ("${workflow.input.tags}", '=["b","a"]\n'),
        ("${workflow.workflowType}", "=flow\n"),
        ("${workflow.input.none}", "=\n"),
        ("${workflow.input.unknown}", "=\n"),
        ("${unknown}", "=\n"),
    ],
)
def test_the_key_is_rendered_over_the_input_of_the_task_and_its_workflow(key: str | None, keys: str) -> None:
    assert keys_of(key) == [keys]


@pytest.mark.parametrize("name", ["long", "odd"])
def test_a_value_that_is_long_or_not_printable_is_told_apart_by_its_hash(name: str) -> None:
    (keys,) = keys_of(f"${{workflow.input.{name}}}")
    assert len(keys) == 34
    assert keys.isprintable() is False
    assert keys[1:-1].isalnum()


def test_each_attempt_has_the_key_of_its_own_input() -> None:
    shared = task_def("a", fairness_key="${workflow.input.tenant}", retry_count=1)
    story = Story(workflow_def(simple("a")), input=GIVEN, task_defs=[shared]).when(started(), failed("a"), later(1))
    assert [one.keys for one in story.sent(Enqueue)] == ["=acme\n", "=acme\n"]


def test_the_key_may_look_at_tasks_that_have_ended() -> None:
    shared = task_def("b", fairness_key="${a.output.owner}")
    story = Story(workflow_def(simple("a"), simple("b")), task_defs=[shared])
    story.when(started(), completed("a", {"owner": "bob"}))
    assert story.sent(Enqueue)[-1].keys == "=bob\n"


def test_the_definition_of_the_queue_says_by_what_its_tasks_share_it() -> None:
    queue, own = (
        TaskDef(name="HTTP", fairness_key="${workflow.input.tenant}"),
        TaskDef(name="call", fairness_key="${no}"),
    )
    call = step("HTTP", "call", {"http_request": {"uri": "http://x", "method": "GET"}})
    story = Story(workflow_def(call), input=GIVEN, task_defs=[queue, own]).when(started())
    assert [one.keys for one in story.sent(Enqueue)] == ["=acme\n"]


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"limit_key": "${workflow.input.tenant}"}, "\nacme"),
        ({"limit_key": "${workflow.input.unknown}"}, "\n"),
        ({"limit_key": "${who}", "fairness_key": "${workflow.input.tenant}"}, "=acme\nme"),
    ],
)
def test_what_limits_a_task_stands_beside_its_owner(fields: dict[str, str], keys: str) -> None:
    limited = task_def("resize", **fields)
    story = Story(workflow_def(simple("resize", {"who": "me"})), input=GIVEN, task_defs=[limited]).when(started())
    assert [one.keys for one in story.sent(Enqueue)] == [keys]
