"""``@task`` keeps the function, adds a policy, and refuses at the line that is wrong."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from orchestrator.errors import DefinitionInvalid, InvalidPayload, InvalidRequest
from orchestrator.model.definitions import RetryLogic, TaskDef, TimeoutPolicy
from orchestrator.task import RateLimit, RetryPolicy, Task, bind_input, task, tasks_in
from orchestrator.workflow import Workflow


@task
async def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}"


@task(pool="process")
def shrink(image: str, width: int = 100) -> str:
    return f"{image}@{width}"


def test_calling_a_task_runs_the_function() -> None:
    assert asyncio.run(greet("Ada")) == "Hello, Ada"
    assert shrink("cat.png", width=3) == "cat.png@3"


def test_a_task_looks_like_its_function_and_knows_how_it_runs() -> None:
    assert (greet.name, greet.__doc__) == ("greet", "Say hello.")
    assert greet.is_async
    assert greet.pool is None
    assert not shrink.is_async
    assert shrink.pool == "process"
    assert shrink.parameters == ["image", "width"]
    assert "test_task.shrink (line " in shrink.location
    assert task(lambda: None).pool == "thread"
    assert task(domain="eu")(_plain).domain == "eu"


def _plain() -> None: ...


def test_a_bare_task_has_the_policy_of_every_task() -> None:
    assert greet.definition() == TaskDef(name="greet")


def test_every_option_reaches_the_definition() -> None:
    made = task(
        name="charge_card",
        description="charges",
        retry=RetryPolicy(limit=5, logic="LINEAR", delay_s=2, cap_s=30, jitter_s=0.25, scale=3),
        timeout_s=60,
        response_timeout_s=20,
        poll_timeout_s=10,
        total_timeout_s=600,
        timeout_policy="RETRY",
        concurrency=4,
        rate_limit=RateLimit(100, 2),
        input_template={"currency": "EUR"},
    )(_plain)
    assert made.definition() == TaskDef(
        name="charge_card",
        description="charges",
        retry_count=5,
        retry_logic=RetryLogic.LINEAR_BACKOFF,
        retry_delay_seconds=2,
        max_retry_delay_seconds=30,
        backoff_jitter_ms=250,
        backoff_scale_factor=3,
        timeout_seconds=60,
        response_timeout_seconds=20,
        poll_timeout_seconds=10,
        total_timeout_seconds=600,
        timeout_policy=TimeoutPolicy.RETRY,
        concurrent_exec_limit=4,
        rate_limit_per_frequency=100,
        rate_limit_frequency_in_seconds=2,
        input_template={"currency": "EUR"},
    )


def test_the_response_timeout_follows_a_shorter_timeout() -> None:
    assert task(timeout_s=30)(_plain).definition().response_timeout_seconds == 30
    assert task(timeout_s=7200)(_plain).definition().response_timeout_seconds == 3600


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


async def _async() -> None: ...


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: task(_generator), "generator"),
        (lambda: task(_async_generator), "generator"),
        (lambda: task(pool="thread")(_async), "async"),
        (lambda: task(pool="process")(lambda: None), "module level"),
        (lambda: task(pool="fiber")(_plain), "'fiber' is unknown"),  # type: ignore[call-overload] # wrong on purpose
        (lambda: task(timeout_policy="PANIC")(_plain), "RETRY, TIME_OUT_WF"),  # type: ignore[call-overload] # likewise
        (lambda: task(timeout_s=0.5)(_plain), "whole number"),  # type: ignore[call-overload] # likewise
        (lambda: task(timeout_s=10, response_timeout_s=20)(_plain), "must be less than timeoutSeconds"),
        (lambda: task(retry=RetryPolicy(limit=-1))(_plain), "retryCount"),
        (lambda: task(name="")(_plain), "cannot be null or empty"),
        (lambda: RetryPolicy(logic="CUBIC"), "CUBIC"),  # type: ignore[arg-type] # likewise
        (lambda: RetryPolicy(scale=2), "LINEAR only"),
        (lambda: RateLimit(0, 1), "whole numbers from 1"),
        (lambda: RateLimit(1, 0), "whole numbers from 1"),
        (lambda: greet.with_options(delay_s=1, at=datetime(2030, 1, 1, tzinfo=UTC)), "not both"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_written(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        make()


def test_an_input_template_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidPayload) as caught:
        task(input_template={"a": object()})(_plain)
    assert caught.value.path == "input_template.a"


def test_a_wrapped_function_keeps_its_signature_and_its_kind() -> None:
    @task
    @functools.wraps(greet.function)
    async def traced(*args: Any, **kwargs: Any) -> str:
        return await greet.function(*args, **kwargs)

    assert traced.is_async
    assert bind_input(traced, {"name": "Ada"}, None) == ((), {"name": "Ada"})


def test_the_binding_is_made_once() -> None:
    assert bind_input(shrink, {"image": "a"}, None) == ((), {"image": "a"})
    assert shrink.binding is shrink.binding


# --- enqueue --------------------------------------------------------------------------------------------------------


class FakeClient:
    """Records what it was asked for, with the options in force."""

    def __init__(self, calls: list[Any], options: dict[str, Any]) -> None:
        self.calls = calls
        self.options = options

    def with_options(self, **options: Any) -> FakeClient:
        return FakeClient(self.calls, options)

    def enqueue(self, task: Task[..., Any], input: Any = None, /, **inputs: Any) -> str:
        self.calls.append((task.name, self.options, input, inputs))
        return "handle"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    recorded: list[Any] = []
    module = ModuleType("orchestrator.client")
    module.default_client = lambda: FakeClient(recorded, {})  # type: ignore[attr-defined] # a stand-in module
    monkeypatch.setitem(sys.modules, "orchestrator.client", module)
    return recorded


def test_enqueue_goes_through_the_default_client(calls: list[Any]) -> None:
    handle: Any = greet.enqueue(name="Ada")
    assert handle == "handle"
    greet.enqueue({"input": 1})
    assert calls == [("greet", {}, None, {"name": "Ada"}), ("greet", {}, {"input": 1}, {})]


def test_options_never_mix_with_inputs(calls: list[Any]) -> None:
    greet.with_options(delay_s=0, priority=5, unique_key="k").enqueue(delay_s=1, name="Ada")
    expected = {"delay_s": 0, "priority": 5, "unique_key": "k"}
    assert calls == [("greet", expected, None, {"delay_s": 1, "name": "Ada"})]


# --- tasks of a module ----------------------------------------------------------------------------------------------


def _module(**contents: Any) -> ModuleType:
    module = ModuleType("app")
    vars(module).update(contents)
    return module


def test_the_tasks_of_a_module_are_found_once_also_those_only_its_workflows_use() -> None:
    flow = Workflow("w").then(shrink).then(greet)
    assert tasks_in(_module(a=greet, alias=greet, flow=flow, other=1)) == [greet, shrink]


def test_two_tasks_with_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(DefinitionInvalid) as caught:
        tasks_in(_module(a=greet, b=task(name="greet")(_plain)))
    assert greet.location in str(caught.value)
    assert "test_task._plain (line " in str(caught.value)
    assert "module app" in str(caught.value)
