"""Searches over Redis: random queries against a filter over all executions, free text, tasks, pages and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from orchestrator.client import Client
from orchestrator.errors import InvalidRequest
from orchestrator.model.execution import Workflow
from orchestrator.service import indexes, search
from orchestrator.settings import Settings
from orchestrator.testing import Environment
from tests.support.population import Row, every, populate, random_query, rows_of, work


@pytest.fixture(scope="module")
def env() -> Iterator[Environment]:
    with Environment([work], settings=Settings(redis_url="fakeredis://unused", partitions=3)) as env:
        yield env


@pytest.fixture(scope="module")
def executions(env: Environment) -> list[Workflow]:
    return every(env.client, populate(env, Random(7), 60))


@pytest.fixture(scope="module")
def rows(executions: list[Workflow]) -> list[Row]:
    rows = rows_of(executions)
    assert {row["status"] for row in rows} == {"RUNNING", "COMPLETED", "FAILED", "TERMINATED"}
    return sorted(rows, key=lambda row: (row["startTime"], row["workflowId"]), reverse=True)


def ids(client: Client, query: str | None = None, **options: Any) -> list[str]:
    found = client.search(query, **options)
    assert found.total >= len(found.items)
    return [line.workflow_id for line in found.items]


@pytest.mark.parametrize("seed", range(60))
def test_a_query_gives_what_a_filter_over_all_gives(env: Environment, rows: list[Row], seed: int) -> None:
    random = Random(seed)
    for _ in range(5):
        query = random_query(random, rows)
        wanted = [row["workflowId"] for row in rows if query.holds(row)]
        start, size = random.randrange(5), random.randrange(30)
        found = env.client.search(query.text, start=start, size=size)
        assert found.total == len(wanted), query.text
        assert [line.workflow_id for line in found.items] == wanted[start : start + size], query.text


def test_a_line_says_what_the_execution_shows(env: Environment, executions: list[Workflow]) -> None:
    lines = {line.workflow_id: line for line in env.client.search(size=1_000).items}
    assert set(lines) == {one.workflow_id for one in executions}
    for one in executions:
        line = lines[one.workflow_id]
        assert (line.status, line.version, line.update_time) == (one.status, one.workflow_version, one.update_time)
        assert "hidden" not in line.input or one.workflow_name != "ship"
        assert line.input_size == len(line.input)


def test_an_order_is_kept_over_pages(env: Environment, rows: list[Row]) -> None:
    wanted = sorted(rows, key=lambda row: (row["workflowType"], -row["priority"]))
    sort = "workflowType:ASC|priority:DESC"
    pages = [ids(env.client, sort=sort, start=start, size=7) for start in range(0, len(rows), 7)]
    assert [one for page in pages for one in page] == [row["workflowId"] for row in wanted]


@pytest.mark.parametrize(
    ("free_text", "holds"),
    [
        ("red", lambda text: '"red"' in text),
        ("RED", lambda text: '"red"' in text),
        ("größe", lambda text: '"größe"' in text),
        ("order-17", lambda text: "order-17" in text),
        ("blu* cannot", lambda text: '"blue"' in text and "cannot" in text),
        ("nowhere", lambda text: False),
        ("*", lambda text: True),
    ],
)
def test_free_text_looks_into_executions_and_their_tasks(
    env: Environment, executions: list[Workflow], free_text: str, holds: Any
) -> None:
    def text(one: Workflow) -> str:
        parts = [one.input, one.output, one.reason_for_incompletion]
        parts += [part for task in one.tasks for part in (task.input_data, task.output_data)]
        return str(parts).lower().replace("'", '"')

    wanted = {one.workflow_id for one in executions if holds(text(one))}
    assert set(ids(env.client, free_text=free_text, size=1_000)) == wanted


def test_what_is_masked_is_not_found(env: Environment, executions: list[Workflow]) -> None:
    assert env.client.search("workflowType=pay", free_text="hidden").total > 0
    assert env.client.search("workflowType=ship", free_text="hidden").total == 0
    assert env.client.search("workflowType=ship AND input=*hidden*").total == 0


def test_top_level_leaves_children_out(env: Environment, executions: list[Workflow]) -> None:
    found = env.client.search(top_level_only=True, size=1_000)
    assert {line.workflow_id for line in found.items} == {
        one.workflow_id for one in executions if not one.parent_workflow_id
    }
    assert found.total < len(executions)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("", lambda task: True),
        ("status=FAILED", lambda task: task.status == "FAILED"),
        (
            "taskDefName=work AND workflowType=ship",
            lambda task: (task.task_def_name, task.workflow_type) == ("work", "ship"),
        ),
        ("taskType IN (WAIT,SUB_WORKFLOW)", lambda task: task.task_type in ("WAIT", "SUB_WORKFLOW")),
        (
            "correlationId=c1 AND output=*red*",
            lambda task: task.correlation_id == "c1" and "red" in str(task.output_data),
        ),
    ],
)
def test_tasks_are_found_by_their_own_fields(
    env: Environment, executions: list[Workflow], query: str, holds: Any
) -> None:
    wanted = [task for one in executions for task in one.tasks if holds(task)]
    wanted.sort(key=lambda task: (task.scheduled_time, task.task_id), reverse=True)
    found = env.client.search_tasks(query, size=5_000)
    assert [line.task_id for line in found.items] == [task.task_id for task in wanted]
    assert found.total == len(wanted) > 0
    page = env.client.search_tasks(query, start=1, size=2)
    assert [line.task_id for line in page.items] == [task.task_id for task in wanted[1:3]]
    shown = env.run(search.tasks_of(env.store, page.items))
    assert [task.task_id for task in shown] == [line.task_id for line in page.items]


def test_a_task_is_found_by_its_id_without_looking_further(env: Environment, executions: list[Workflow]) -> None:
    task = executions[0].tasks[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SCAN_MAX", 1)
        (line,) = env.client.search_tasks(f"taskId={task.task_id}").items
        with pytest.raises(InvalidRequest, match="more than 100,000 executions"):
            env.client.search_tasks("status=FAILED")
    assert (line.task_id, line.workflow_id) == (task.task_id, executions[0].workflow_id)


def test_executions_are_found_by_their_tasks(env: Environment, executions: list[Workflow]) -> None:
    found = env.run(search.search_by_tasks(env.store, "status=FAILED", free_text="cannot"))
    wanted = {one.workflow_id for one in executions if any(task.status == "FAILED" for task in one.tasks)}
    assert {line.workflow_id for line in found.items} == wanted
    shown = env.run(search.workflows_of(env.store, found.items))
    assert [one.workflow_id for one in shown] == [line.workflow_id for line in found.items]
    assert not any(one.tasks for one in shown)


def test_a_search_that_would_look_at_too_much_says_what_to_do(
    env: Environment, executions: list[Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "SCAN_MAX", 5)
    assert env.client.search("status=RUNNING").total > 5  # counted, not looked at
    with pytest.raises(InvalidRequest, match=r"more than 5 executions in Redis; narrow it by .* or let the archive"):
        env.client.search("priority=1")
    with pytest.raises(InvalidRequest, match="narrow it by"):
        env.client.search(free_text="red")
    assert env.client.search(f"workflowId={executions[0].workflow_id}", free_text="w*").total in (0, 1)


@pytest.mark.parametrize("page", [{"start": -1}, {"size": -1}, {"size": 5_001}, {"start": 100_000}])
def test_what_cannot_be_a_page_is_refused(env: Environment, page: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        env.client.search(**page)
    with pytest.raises(InvalidRequest):
        env.client.search_tasks(**page)
