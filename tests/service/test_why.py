"""``why`` names the very thing an execution waits for, with its numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import Branch, RateLimit, RateLimitConfig, RetryPolicy, Workflow, task
from orchestrator.errors import WorkflowNotFound
from orchestrator.plan import Command, Plan
from orchestrator.service import dispatch
from orchestrator.service.dispatch import TaskToRun, Want
from orchestrator.service.why import Explanation, why
from orchestrator.store import queue
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked


@task(retry=RetryPolicy(limit=3, delay_s=90))
def pay() -> str:
    raise ValueError("bank is closed")


@task(concurrency=1)
def single() -> None: ...


@task(rate_limit=RateLimit(1, per_s=60))
def seldom() -> None: ...


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation whose worker runs only when told."""
    with environment([pay, single, seldom]) as env:
        yield env


def ask(env: Environment, workflow_id: str) -> Explanation:
    return asked(env, why, workflow_id)


def said(env: Environment, workflow_id: str) -> list[tuple[str, str]]:
    return [(reason.kind, reason.text) for reason in ask(env, workflow_id).reasons]


def claim(env: Environment, name: str) -> list[dispatch.Claimed]:
    return env.run(dispatch.claim_tasks(env.store, [Want(name, None, 1)], "worker-7")).claimed


def test_a_task_that_nobody_asks_for(env: Environment) -> None:
    handles = [env.client.start_workflow(Workflow("w").then(pay)) for _ in range(3)]
    found = ask(env, handles[1].id)
    assert (found.name, found.status) == ("w", "RUNNING")
    (reason,) = found.reasons
    assert (reason.kind, reason.ref) == ("NO_WORKER", "pay")
    assert reason.text == (
        "task pay waits in queue pay at place 2 of 3: no worker waits for this queue; if it stays so, "
        "start one with: orchestrator worker MODULE"
    )
    assert (reason.facts["position"], reason.facts["ready"]) == (2, 3)


def test_a_task_in_a_domain_is_counted_in_its_domain(env: Environment) -> None:
    env.client.start_workflow(Workflow("w").then(pay))
    handle = env.client.with_options(domains={"pay": "eu"}).start_workflow(Workflow("w").then(pay))
    assert said(env, handle.id)[0][1].startswith("task pay waits in queue pay domain eu at place 1 of 1")


def test_a_retry_waits_for_its_time(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(pay))
    env.drain()
    env.clock.advance(30)
    env.decide()
    assert said(env, handle.id) == [
        ("DELAYED", "task pay (attempt 2) may start in 1 min 0 s, at 2030-01-01 00:01:30 UTC (queue pay)")
    ]


def test_a_running_task_names_its_worker_and_its_lease(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(pay))
    claimed = claim(env, "pay")
    assert said(env, handle.id)[0][0] == "CLAIMED"
    (run,) = env.run(dispatch.start_tasks(env.store, claimed, "worker-7"))
    assert isinstance(run, TaskToRun)
    env.clock.advance(5)
    ((kind, text),) = said(env, handle.id)
    assert kind == "RUNNING"
    assert text.startswith("task pay runs on worker worker-7 since 5 s (delivery 1); its lease ends in 10 s unless")
    env.clock.advance(60)
    env.decide()
    assert "its lease has ended: the worker seems to be gone" in said(env, handle.id)[0][1]


def test_a_limit_is_named_with_its_numbers(env: Environment) -> None:
    first, second = (env.client.start_workflow(Workflow("w").then(single)) for _ in range(2))
    claim(env, "single")
    ((kind, text),) = said(env, second.id)
    assert kind == "CONCURRENCY_LIMIT"
    assert text.endswith("the concurrency limit is reached, 1 of 1 at once (1 running, 0 on hold)")
    first, second = (env.client.start_workflow(Workflow("w").then(seldom)) for _ in range(2))
    env.run_worker_once()
    assert first.status() == "COMPLETED"
    ((kind, text),) = said(env, second.id)
    assert (kind, text.endswith("the rate limit is reached, 1 of 1 in 1 min 0 s")) == ("RATE_LIMIT", True)


def test_a_paused_queue_a_busy_one(env: Environment) -> None:
    for _ in range(2):
        handle = env.client.start_workflow(Workflow("w").then(pay))
    claim(env, "pay")
    assert said(env, handle.id)[0] == (
        "QUEUED",
        "task pay waits in queue pay at place 1 of 1: its workers are busy (1 running)",
    )
    env.run(queue.set_paused(env.store.queues, "pay", True))
    assert said(env, handle.id)[0][0] == "QUEUE_PAUSED"
    first = env.client.start_workflow(Workflow("w").then(single))
    assert said(env, first.id)[0][0] == "NO_WORKER"


def test_signals_timers_and_joins(env: Environment) -> None:
    flow = Workflow("w").fork(Branch().wait(signal="approved"), Branch().wait(for_s=7200), Branch().then(single))
    handle = env.client.start_workflow(flow)
    env.drain()
    assert dict(said(env, handle.id)) == {
        "SIGNAL": "WAIT approved waits for the signal 'approved'; send it with: "
        f"orchestrator workflow signal {handle.id} approved",
        "TIMER": "WAIT wait waits until its time comes, in 2 h 0 min, at 2030-01-01 02:00:00 UTC",
        "JOIN": "JOIN fork_join waits for approved, wait",
    }


def test_a_turn_under_the_rate_limit_of_a_workflow(env: Environment) -> None:
    limit = RateLimitConfig(rate_limit_key="${workflow.input.shop}", concurrent_exec_limit=1)
    flow = Workflow("limited", rate_limit=limit).wait(signal="go")
    handles = [env.client.start_workflow(flow, shop="a") for _ in range(3)]
    text = "it waits for its turn at place 2 of 2: 1 executions with the key 'a' run, and the rate limit of the workflow is 1"
    assert said(env, handles[2].id) == [("TURN", text)]
    handles[0].signal("go")
    assert [kind for kind, _ in said(env, handles[1].id)] == ["SIGNAL"]


def test_people_and_messages(env: Environment) -> None:
    flow = Workflow("w").fork(Branch().human(ref="approve"), Branch().pull_messages(ref="inbox"))
    handle = env.client.start_workflow(flow)
    assert [text for _, text in said(env, handle.id)] == [
        "JOIN fork_join waits for approve, inbox",
        "HUMAN approve waits for a person to say how it ended",
        f"PULL_WORKFLOW_MESSAGES inbox waits for a message; push one with: orchestrator workflow message push {handle.id}",
    ]


def test_a_child_is_explained_in_its_turn(env: Environment) -> None:
    inner = Workflow("inner").wait(signal="go")
    env.client.register(inner)
    handle = env.client.start_workflow(Workflow("outer").sub_workflow(inner))
    found = ask(env, handle.id)
    (reason,), (child,) = found.reasons, found.children
    assert reason.text == f"SUB_WORKFLOW inner waits for the end of its workflow {child.workflow_id}"
    assert [one.kind for one in child.reasons] == ["SIGNAL"]


def test_what_is_paused_ended_or_unknown(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(single))
    handle.pause()
    assert [kind for kind, _ in said(env, handle.id)] == ["PAUSED", "NO_WORKER"]
    handle.terminate("enough")
    assert said(env, handle.id) == [("ENDED", "nothing: it has ended TERMINATED at 2030-01-01 00:00:00 UTC: enough")]
    with pytest.raises(WorkflowNotFound):
        ask(env, "gone")


def test_a_quarantined_execution_and_one_that_is_not_decided_yet(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(single))
    key = env.store.keys.workflow(0, handle.id)
    env.run(_send(Command(("HSET", key, "q", "it broke twice"))))
    assert said(env, handle.id)[0][0] == "QUARANTINED"
    assert "it broke twice" in said(env, handle.id)[0][1]
    env.run(_send(Command(("HDEL", key, "q", "c"))))
    assert said(env, handle.id)[0][0] == "START"


def test_no_decider_is_the_first_thing_to_know(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(single))
    env.clock.advance(3600)  # it holds its partition for seconds unless it says that it lives
    found: Explanation = env._drive(why(env.store, handle.id))  # not through the client: the decider would wake up
    assert [reason.kind for reason in found.reasons] == ["NO_DECIDER", "NO_WORKER"]
    assert found.reasons[0].facts["partition"] == 0


def test_many_open_tasks_are_counted(env: Environment) -> None:
    flow = Workflow("w").fork(*[Branch().then(single) for _ in range(30)])
    found = ask(env, env.client.start_workflow(flow).id)
    assert found.reasons[-1].text == "and 11 more open tasks"


def _send(command: Command) -> Plan[None]:
    yield command


def test_a_task_that_its_queue_does_not_have_yet(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").then(single))
    env.run(queue.remove(env.store.queues, {"single": [handle.describe().task("single").task_id]}))
    assert said(env, handle.id)[0][0] == "HAND_OFF"
