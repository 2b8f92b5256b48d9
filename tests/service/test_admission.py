"""Rate limits of workflows: so many at once for each key, exact, in order, and no place is ever lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import TerminalError, Workflow, task
from orchestrator.client.handles import WorkflowHandle
from orchestrator.errors import Conflict, RateLimited
from orchestrator.model.definitions import RateLimitConfig, RateLimitPolicy
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.plan import Call, Command, Plan
from orchestrator.service import workflows
from orchestrator.service.starting import Launch, StartedWorkflow, start
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked


def limited(at_once: int = 2, **fields: Any) -> Workflow:
    config = RateLimitConfig(rate_limit_key="${workflow.input.shop}", concurrent_exec_limit=at_once, **fields)
    return Workflow("limited", rate_limit=config).wait(signal="go")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An empty installation."""
    with environment() as env:
        yield env


def begun(handles: list[WorkflowHandle]) -> list[bool]:
    """Which of the executions have begun their first step."""
    return [bool(handle.describe().tasks) for handle in handles]


def places(env: Environment) -> list[str]:
    """What gates hold, by key name behind the gate's, the numbers of orders aside."""
    return env.run(_gate_keys())


def _gate_keys() -> Plan[list[str]]:
    keys: list[bytes] = yield Command(("KEYS", "*.g:*"))
    names = {key.decode().split("}:")[1] for key in keys}
    return sorted(names - {"meta", "simclock"})


def test_executions_wait_in_order_and_begin_when_a_place_is_free(env: Environment) -> None:
    handles = [env.client.start_workflow(limited(), shop="a") for _ in range(5)]
    other = env.client.start_workflow(limited(), shop="b")
    assert (begun(handles), begun([other])) == ([True, True, False, False, False], [True])
    waiting = handles[2].describe()
    assert (waiting.status, waiting.rate_limited, waiting.rate_limit_key) == ("RUNNING", True, "a")
    handles[1].signal("go")
    assert begun(handles) == [True, True, True, False, False]
    assert not handles[2].describe().rate_limited
    handles[0].terminate()
    handles[2].signal("go")
    assert begun(handles) == [True, True, True, True, True]
    for handle in [handles[3], handles[4], other]:
        handle.signal("go")
    assert [handle.status() for handle in handles] == ["TERMINATED", *["COMPLETED"] * 4]
    assert places(env) == []


def test_one_that_ends_while_it_waits_is_passed_over(env: Environment) -> None:
    handles = [env.client.start_workflow(limited(1), shop="a") for _ in range(3)]
    handles[1].terminate()
    assert handles[1].describe().tasks == []
    handles[0].signal("go")
    assert begun(handles) == [True, False, True]
    handles[2].signal("go")
    assert places(env) == []


def test_a_paused_one_keeps_its_turn_and_begins_when_it_is_resumed(env: Environment) -> None:
    first, second = (env.client.start_workflow(limited(1), shop="a") for _ in range(2))
    second.pause()
    first.signal("go")
    assert begun([second]) == [False]
    second.resume()
    assert begun([second]) == [True]
    third = env.client.start_workflow(limited(1), shop="a")
    third.pause()
    third.resume()  # still not its turn
    assert begun([third]) == [False]
    second.signal("go")
    assert begun([third]) == [True]


def test_a_restart_takes_a_place_again(env: Environment) -> None:
    first, second = (env.client.start_workflow(limited(1), shop="a") for _ in range(2))
    first.terminate()
    assert begun([second]) == [True]
    first.restart()
    assert (first.describe().rate_limited, begun([first])) == (True, [False])
    second.signal("go")
    assert begun([first]) == [True]
    first.signal("go")
    assert (first.status(), places(env)) == ("COMPLETED", [])


def test_without_a_key_all_executions_share_the_limit(env: Environment) -> None:
    config = RateLimitConfig(concurrent_exec_limit=1)
    flow = Workflow("limited", rate_limit=config).wait(signal="go")
    assert begun([env.client.start_workflow(flow, shop=shop) for shop in "ab"]) == [True, False]


def test_a_limit_of_none_limits_nobody(env: Environment) -> None:
    assert begun([env.client.start_workflow(limited(0), shop="a") for _ in range(3)]) == [True] * 3
    assert places(env) == []


def test_with_reject_a_start_beyond_the_limit_is_refused_and_leaves_nothing(env: Environment) -> None:
    flow = limited(1, policy=RateLimitPolicy.REJECT)
    first = env.client.start_workflow(flow, shop="a")
    with pytest.raises(RateLimited, match=r"1 executions with the key 'a' run already and its rate limit is 1"):
        env.client.start_workflow(flow, shop="a")
    assert env.client.list_workflows().total == 1
    first.signal("go")
    again = env.client.start_workflow(flow, shop="a")
    assert begun([again]) == [True]


def test_a_child_beyond_the_limit_is_refused_too(env: Environment) -> None:
    flow = limited(1, policy=RateLimitPolicy.REJECT)
    env.client.register(flow)
    env.client.start_workflow(flow, shop="a")
    parent = env.client.start_workflow(Workflow("parent").sub_workflow("limited", shop="a"))
    env.run_until_quiet()
    found = parent.describe()
    assert (found.status, "rate limit of 1" in str(found.reason_for_incompletion)) == ("FAILED", True)


def test_a_place_kept_for_a_start_that_never_came_is_free_after_a_minute(env: Environment) -> None:
    flow = limited(1, policy=RateLimitPolicy.REJECT)
    with pytest.raises(GeneratorExit):
        _die_at(env, flow, "start")
    with pytest.raises(RateLimited):
        env.client.start_workflow(flow, shop="a")
    env.clock.advance(61)
    assert begun([env.client.start_workflow(flow, shop="a")]) == [True]


def test_a_start_under_an_id_that_is_taken_leaves_the_place_to_the_one_that_has_it(env: Environment) -> None:
    flow = limited(1, policy=RateLimitPolicy.REJECT)
    request = StartWorkflowRequest(name="limited", input={"shop": "a"}, workflow_def=flow.definition())

    def sent(workflow_id: str) -> Plan[StartedWorkflow]:
        return start(env.store, Launch(request, workflow_id=workflow_id), wait_commit=False)

    def before_anything_is_decided() -> Plan[None]:
        yield from sent("one")
        with pytest.raises(Conflict, match="in use by another start"):
            yield from sent("one")
        with pytest.raises(RateLimited):
            yield from sent("two")

    env.run(before_anything_is_decided())
    assert begun([env.client.workflow("one")]) == [True]


def _die_at(env: Environment, flow: Workflow, script: str) -> None:
    """Start an execution in a process that is killed before it runs this script."""

    def dying(plan: Plan[Any]) -> Plan[Any]:
        step = next(plan)
        while True:
            calls = step if isinstance(step, list | tuple) and not isinstance(step, Call | Command) else [step]
            if any(isinstance(call, Call) and call.script == script for call in calls):
                raise GeneratorExit
            step = plan.send((yield step))

    request = StartWorkflowRequest(name="limited", input={"shop": "a"}, workflow_def=flow.definition())
    env.run(dying(start(env.store, Launch(request))))


def test_a_start_under_a_known_idempotency_key_gives_its_place_back(env: Environment) -> None:
    flow = limited(2, policy=RateLimitPolicy.REJECT)
    client = env.client.with_options(idempotency_key="k", idempotency_strategy="RETURN_EXISTING")
    first, same = client.start_workflow(flow, shop="a"), client.start_workflow(flow, shop="a")
    assert first.id == same.id
    assert begun([env.client.start_workflow(flow, shop="a")]) == [True]


def test_one_that_is_removed_by_force_gives_its_place_back(env: Environment) -> None:
    first, second = (env.client.start_workflow(limited(1), shop="a") for _ in range(2))
    asked(env, workflows.remove, first.id, force=True)
    assert begun([second]) == [True]


def test_a_place_that_was_lost_with_its_execution_is_found_when_somebody_waits(env: Environment) -> None:
    first = env.client.start_workflow(limited(1), shop="a")
    number = env.store.keys.partition_of(first.id)

    def gone() -> Plan[None]:  # as a failover of the partition's server may lose what its gate still knows
        yield Command(("DEL", env.store.keys.workflow(number, first.id)))

    env.run(gone())
    assert begun([env.client.start_workflow(limited(1), shop="a")]) == [True]


@pytest.mark.parametrize("verb", ["retry", "rerun"])
def test_one_that_goes_on_after_its_end_takes_a_place_again(environment: MakeEnvironment, verb: str) -> None:
    failing = Workflow("failing", rate_limit=RateLimitConfig(concurrent_exec_limit=1)).then(flaky)
    outcomes.clear()
    outcomes.extend([TerminalError("no"), TerminalError("no"), "fine", "fine"])
    with environment([flaky]) as env:
        first = env.client.start_workflow(failing)
        env.run_until_quiet()
        assert first.status() == "FAILED"
        flow = Workflow("failing", rate_limit=RateLimitConfig(concurrent_exec_limit=1)).wait(signal="go")
        holder = env.client.start_workflow(flow)
        getattr(first, verb)()
        env.run_until_quiet()
        assert (first.status(), first.describe().rate_limited, len(outcomes)) == ("RUNNING", True, 3)
        holder.signal("go")
        env.run_until_quiet()
        assert (first.status(), len(outcomes)) == ("FAILED", 2)
        getattr(first, verb)()
        env.run_until_quiet()
        assert first.status() == "COMPLETED"
        assert places(env) == []


outcomes: list[Any] = []


@task
def flaky() -> str:
    outcome = outcomes.pop(0)
    if isinstance(outcome, Exception):
        raise outcome
    return str(outcome)
