"""Tenants share the workers of a task type: from the definition that says so down to the order in which tasks run."""

from __future__ import annotations

import msgspec

from orchestrator import Workflow, task
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
