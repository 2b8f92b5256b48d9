"""Domains of a task: the first that somebody polls, as the notes of polls say at the moment when it is made."""

from __future__ import annotations

from orchestrator import Workflow, task
from orchestrator.service import poll_data
from orchestrator.testing import Environment, environment


@task
def greet(name: str) -> str:
    return f"Hello, {name}"


flow = Workflow("flow").then(greet, name="Ada")


def polled(env: Environment, domain: str | None, ago_s: float = 0) -> None:
    seen = {("greet", domain): poll_data.Seen("w1", 100 - ago_s)}
    env.client.run(poll_data.write(env.store, seen, 100))


def domain_of(env: Environment, entry: str) -> str | None:
    """The domain of the task of an execution that is started now."""
    env.clock.advance(2)  # what is known of polls is a second old at the most
    handle = env.client.with_options(domains={"greet": entry}).start_workflow(flow)
    return handle.describe().task("greet").domain


def test_a_task_goes_to_the_first_domain_that_is_polled_and_else_to_the_last() -> None:
    with environment() as env:
        assert domain_of(env, "us,eu,NO_DOMAIN") is None
        polled(env, "eu", ago_s=1)
        assert domain_of(env, "us,eu,NO_DOMAIN") == "eu"
        polled(env, "us")
        assert domain_of(env, "us,eu,NO_DOMAIN") == "us"
        assert domain_of(env, "asia,africa") == "africa"
        env.clock.advance(11)
        assert domain_of(env, "us,eu,NO_DOMAIN") is None
