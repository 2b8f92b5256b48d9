"""Actions on many executions at once: each for itself, errors by id, the limits of a request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import Workflow, task
from orchestrator.client import Client
from orchestrator.errors import InvalidRequest
from orchestrator.service import bulk
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment

waiting = Workflow("waiting").wait(signal="go")


@task
def fail() -> None:
    raise ValueError("broken")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    with environment([fail]) as env:
        yield env


def ids(client: Client, count: int) -> list[str]:
    return [client.start_workflow(waiting).id for _ in range(count)]


def test_an_action_happens_to_all_and_errors_are_kept_by_id(env: Environment) -> None:
    one, two, three = ids(env.client, 3)
    env.client.workflow(two).terminate()
    result = env.client.act_on_workflows("pause", [one, "nobody", two, three, one])
    assert result.succeeded == [one, three]
    assert result.failed.keys() == {"nobody", two}
    assert "has ended TERMINATED" in result.failed[two]
    assert [env.client.workflow(name).status() for name in (one, three)] == ["PAUSED", "PAUSED"]


@pytest.mark.parametrize("action", sorted(set(bulk.ACTIONS) - {"skip", "jump", "update_state", "upgrade"}))
def test_every_action_has_its_bulk_form(env: Environment, action: str) -> None:
    one, two = ids(env.client, 2)
    if action == "resume":
        env.client.act_on_workflows("pause", [one, two])
    elif action in ("restart", "retry", "rerun", "remove"):
        env.client.act_on_workflows("terminate", [one, two])
    assert env.client.act_on_workflows(action, [one, two]) == bulk.BulkResult([one, two], {})


def test_steps_of_all_are_skipped_jumped_to_and_told_of(env: Environment) -> None:
    flow = Workflow("flow").wait(signal="a").wait(signal="b").wait(signal="c")
    found = [env.client.start_workflow(flow).id for _ in range(2)]
    for action, arguments in (
        ("skip", {"ref": "b"}),
        ("update_state", {"ref": "a", "variables": {"x": 1}}),
        ("jump", {"ref": "b"}),
    ):
        assert env.client.act_on_workflows(action, found, arguments).failed == {}
    assert {env.client.workflow(one).describe().task("b").status for one in found} == {"IN_PROGRESS"}


def test_restarts_by_the_latest_definitions_are_looked_up_for_each(env: Environment) -> None:
    env.client.register(Workflow("w").wait(signal="go"))
    known, unknown = env.client.start_workflow("w").id, env.client.start_workflow(waiting).id
    env.client.act_on_workflows("terminate", [known, unknown])
    result = env.client.act_on_workflows("restart", [known, unknown], {"use_latest_definitions": True})
    assert (result.succeeded, list(result.failed)) == ([known], [unknown])


def test_all_are_upgraded_to_one_version_and_those_of_other_workflows_are_named(env: Environment) -> None:
    env.client.register(Workflow("flow").wait(ref="a", signal="a"))
    found = [env.client.start_workflow("flow").id for _ in range(2)]
    env.client.register(Workflow("flow", version=2).set(ref="s", x=1).wait(ref="a", signal="a"))
    (other,) = ids(env.client, 1)
    arguments = {"version": 2, "task_output": {"s": {"y": 1}}}
    result = env.client.act_on_workflows("upgrade", [*found, other], arguments)
    assert (result.succeeded, list(result.failed)) == (found, [other])
    assert {env.client.workflow(one).describe().workflow_version for one in found} == {2}
    assert {env.client.workflow(one).describe().task("s").output_data["y"] for one in found} == {1}
    with pytest.raises(InvalidRequest, match="version must be a whole number"):
        env.client.act_on_workflows("upgrade", found, {"version": "2"})


def test_what_cannot_be_ended_any_more_is_removed_all_the_same(env: Environment) -> None:
    done = env.client.start_workflow(Workflow("set").set(x=1))
    (open_,) = ids(env.client, 1)
    result = env.client.act_on_workflows("terminate_remove", [done.id, open_])
    assert (result.succeeded, list(result.failed)) == ([open_], [done.id])
    assert env.client.list_workflows().total == 0


def test_a_request_that_names_nobody_or_too_many_is_refused(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="cannot be null"):
        env.client.act_on_workflows("pause", [])
    with pytest.raises(InvalidRequest, match="Cannot process more than 1000 workflows"):
        env.client.act_on_workflows("pause", [str(number) for number in range(1001)])
    with pytest.raises(InvalidRequest, match="'dance' cannot be done"):
        env.client.act_on_workflows("dance", ["a"])
    with pytest.raises(InvalidRequest, match=r"timeout_s=0\.5 is outside 1 to 600 seconds"):
        env.run(bulk.act_on_all(env.store, "pause", ["a"], timeout_s=0.5))


def test_repeated_under_its_request_id_it_happens_once(env: Environment) -> None:
    found = ids(env.client, 2)
    asked = (("pause", "r"), ("resume", "s"), ("pause", "r"))
    plans = [bulk.act_on_all(env.store, action, found, request_id=name) for action, name in asked]
    assert [env.run(plan).failed for plan in plans] == [{}, {}, {}]
    assert {env.client.workflow(one).status() for one in found} == {"RUNNING"}


def test_executions_are_found_by_name_and_by_correlation_id(env: Environment) -> None:
    client = env.client
    first = client.with_options(correlation_id="c").start_workflow(waiting).id
    env.clock.advance(1)
    second = client.with_options(correlation_id="c").start_workflow(waiting).id
    other = client.with_options(correlation_id="d").start_workflow(waiting).id
    client.workflow(first).terminate()
    newer = client.start_workflow(Workflow("waiting", version=2).wait(signal="go")).id
    assert set(client.running_workflows("waiting")) == {second, other, newer}
    client.workflow(other).pause()
    assert set(client.running_workflows("waiting")) == {second, newer}
    assert client.running_workflows("nothing") == []
    assert client.correlated_workflows("waiting", ["c", "e"]) == {"c": [second], "e": []}
    assert client.correlated_workflows("waiting", ["c"], include_closed=True) == {"c": [second, first]}


def test_a_version_is_deleted_and_its_executions_go_on(env: Environment) -> None:
    client = env.client
    client.register(Workflow("w", version=1).wait(signal="go"), Workflow("w", version=2).wait(signal="go"))
    handle = client.start_workflow("w")
    client.delete_workflow_version("w", 2)
    handle.signal("go")
    assert (handle.status(), client.start_workflow("w").describe().workflow_version) == ("COMPLETED", 1)
