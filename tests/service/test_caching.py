"""Outputs that are reused, with the real store between two executions."""

from __future__ import annotations

from orchestrator import Workflow, task
from orchestrator.step_options import Cache
from tests.support.served import MakeEnvironment

calls: list[str] = []


@task
def price(sku: str) -> dict[str, str]:
    calls.append(sku)
    return {"price_of": sku}


def test_a_second_execution_gets_the_output_of_the_first_until_its_time_is_over(environment: MakeEnvironment) -> None:
    calls.clear()
    priced = Workflow("priced").with_options(cache=Cache("${workflow.input.sku}", 60)).then(
        price, sku="${workflow.input.sku}"
    )  # fmt: skip
    with environment([price]) as env:
        first = env.client.start_workflow(priced, sku="x")
        assert first.result() == {"price_of": "x"}
        second = env.client.start_workflow(priced, sku="x")
        assert (second.result(), second.describe().task("price").worker_id) == ({"price_of": "x"}, "cache")
        assert env.client.execute_workflow(priced, sku="y") == {"price_of": "y"}
        assert calls == ["x", "y"]
        env.clock.advance(seconds=61)
        assert env.client.execute_workflow(priced, sku="x") == {"price_of": "x"}
        assert calls == ["x", "y", "x"]
