"""Lists of executions: conditions, order, pages, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import Workflow
from orchestrator.errors import InvalidRequest
from orchestrator.service import indexes
from orchestrator.service.listing import list_workflows
from orchestrator.settings import Settings
from orchestrator.store import index
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked

red = Workflow("red").wait(signal="go")
blue = Workflow("blue").wait(signal="go")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """Twelve executions in three partitions, one a second: red and blue in turn, every fourth terminated."""
    settings = Settings(redis_url="fakeredis://unused", partitions=3)
    with environment(settings=settings) as env:
        for number in range(12):
            env.clock.advance(1)
            client = env.client.with_options(correlation_id=f"c-{number % 3}", workflow_id=f"w-{number:02}")
            handle = client.start_workflow(red if number % 2 else blue)
            if number % 4 == 0:
                handle.terminate("enough")
        yield env


def ids(env: Environment, **conditions: Any) -> list[str]:
    return [item.workflow_id for item in asked(env, list_workflows, **conditions).items]


def test_all_of_them_come_latest_first(env: Environment) -> None:
    assert ids(env) == [f"w-{number:02}" for number in reversed(range(12))]


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({"name": "red"}, [11, 9, 7, 5, 3, 1]),
        ({"status": "TERMINATED"}, [8, 4, 0]),
        ({"correlation_id": "c-1"}, [10, 7, 4, 1]),
        ({"name": "blue", "status": "RUNNING"}, [10, 6, 2]),
        ({"name": "blue", "status": "TERMINATED", "correlation_id": "c-1"}, [4]),
        ({"name": "green"}, []),
        ({"name": "red", "status": "FAILED"}, []),
    ],
)
def test_every_condition_must_hold(env: Environment, conditions: dict[str, Any], numbers: list[int]) -> None:
    found = env.client.list_workflows(**conditions)
    assert [item.workflow_id for item in found.items] == [f"w-{number:02}" for number in numbers]
    assert found.total == len(numbers)


@pytest.mark.parametrize("conditions", [{}, {"status": "RUNNING"}, {"name": "red", "status": "RUNNING"}])
def test_pages_put_together_are_the_whole(env: Environment, conditions: dict[str, Any]) -> None:
    whole = ids(env, **conditions)
    pages = [ids(env, **conditions, start=start, size=2) for start in range(0, 14, 2)]
    assert [workflow_id for page in pages for workflow_id in page] == whole
    assert env.client.list_workflows(**conditions, size=0).items == []
    assert env.client.list_workflows(**conditions, size=0).total == len(whole)


def test_an_index_longer_than_a_page_is_walked_to_its_end(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE_MAX", 1)
    assert ids(env, name="blue", status="RUNNING") == ["w-10", "w-06", "w-02"]


def test_conditions_that_would_walk_too_far_are_refused(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "WALK_MAX", 1)
    with pytest.raises(InvalidRequest, match="narrow it by"):
        ids(env, name="blue", status="RUNNING")


def test_a_line_tells_what_it_is(env: Environment) -> None:
    (line,) = env.client.list_workflows(correlation_id="c-0", status="TERMINATED").items
    assert (line.workflow_type, line.version, line.status, line.reason_for_incompletion) == (
        "blue",
        1,
        "TERMINATED",
        "enough",
    )
    assert line.end_time >= line.start_time > 0


@pytest.mark.parametrize("page", [{"start": -1}, {"size": -1}, {"size": 5_001}, {"status": "DONE"}])
def test_what_cannot_be_a_page_is_refused(env: Environment, page: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        ids(env, **page)
