"""Tenants share the workers of a task type: from the definition that says so down to the order in which tasks run."""

from __future__ import annotations

import msgspec

from orchestrator import Workflow, task
from orchestrator.service import queues
from orchestrator.store import queue
from orchestrator.testing import environment

ran: list[str] = []


@task(fairness_key="${workflow.input.tenant}", concurrency=1)
def resize(tenant: str) -> None:
    ran.append(tenant)


flow = Workflow("flow").then(resize, tenant="${workflow.input.tenant}")


def test_a_tenant_with_few_workflows_is_not_kept_waiting_by_one_with_many() -> None:
    ran.clear()
    with environment([resize]) as env:
        env.client.register(flow)
        for tenant in ["big"] * 40 + ["small"] * 3:
            env.client.start_workflow(flow, tenant=tenant)
        env.drain()
    assert len(ran) == 43
    assert ran[:7].count("small") == 3


def test_tenants_share_from_when_the_definition_says_so() -> None:
    ran.clear()
    with environment([resize]) as env:
        env.client.register(flow)
        env.client.register(msgspec.structs.replace(resize.definition(), fairness_key=None))
        for tenant in ["big"] * 10:
            env.client.start_workflow(flow, tenant=tenant)
        env.decide()
        env.client.register(resize)
        env.clock.advance(2)
        for tenant in ["big"] * 10 + ["small"] * 3:
            env.client.start_workflow(flow, tenant=tenant)
        env.drain()
    assert ran[:10] == ["big"] * 10
    assert ran[10:16].count("small") == 3


@task(limit_key="${workflow.input.tenant}", concurrency=2)
def call(tenant: str) -> None:
    ran.append(tenant)


calling = Workflow("calling").then(call, tenant="${workflow.input.tenant}")


def test_a_limit_for_each_tenant_holds_up_no_other_and_says_whom_it_holds_up() -> None:
    ran.clear()
    with environment() as env:
        env.client.register(calling, call)
        handles = [env.client.start_workflow(calling, tenant=tenant) for tenant in ["big"] * 5 + ["small"]]
        env.decide()
        store = env.store
        (answer,) = env.run(queue.claim(store.queues, [queue.Ask("call", "w1", 10)]))
        assert isinstance(answer, queue.Claim)
        assert len(answer.tasks) == 3  # two of one tenant, and the only one of the other
        (reason,) = handles[4].why().reasons
        assert reason.kind == "KEY_LIMIT"
        assert reason.text == "task call is kept back in queue call: 'big' is at its limit of 2 at once"
        assert env.run(queues.sizes(store, ["call"])) == {"call": 3}
        env.clock.advance(16)  # nobody reports
        env.serve(call)
        env.drain()
    assert sorted(ran) == ["big"] * 5 + ["small"]
