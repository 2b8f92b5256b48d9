"""Traces go through workflows: each attempt's span is a child of the starter's, wherever start and attempt happen."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from orchestrator import AsyncClient, Workflow
from orchestrator.api import create_app
from orchestrator.errors import MissingExtra
from orchestrator.model.tracing import trace_of
from orchestrator.settings import Settings
from orchestrator_workers import Worker
from orchestrator_workers.registry import register
from tests.support.deciding import deciding
from tests.support.served import Served
from tests.workers.traced_tasks import at_the_second_attempt, in_a_child, in_a_horse, on_the_loop

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TASKS = (on_the_loop, at_the_second_attempt, in_a_child, in_a_horse)
inner = Workflow("inner").then(on_the_loop, ref="child")
outer = (
    Workflow("outer")
    .then(on_the_loop)
    .then(at_the_second_attempt)
    .sub_workflow(inner, ref="sub")
    .output(first="${on_the_loop.output.result}", second="${at_the_second_attempt.output.result}")
)
pools = (
    Workflow("pools")
    .then(in_a_child)
    .then(in_a_horse)
    .output(child="${in_a_child.output.result}", horse="${in_a_horse.output.result}")
)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where this process's spans go; a program has one provider for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Callable[[], list[ReadableSpan]]:
    """The spans that have ended, and none of another test, in the order they began: a task may end before its start does."""
    exporter.clear()
    return lambda: sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


@pytest.fixture
def settings(redis_url: str) -> Iterator[Settings]:
    with deciding(Settings(redis_url=redis_url, partitions=2)) as settings:
        yield settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client of an installation with a worker that traces."""
    async with (
        Worker(settings, tasks=TASKS, middleware=["orchestrator_workers.tracing:traced"]),
        AsyncClient(settings=settings) as client,
    ):
        yield client


def hexadecimal(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


async def test_each_attempt_has_a_span_under_the_starters_also_in_sub_workflows(
    client: AsyncClient, spans: Callable[[], list[ReadableSpan]]
) -> None:
    await client.register(inner)
    with trace.get_tracer("shop").start_as_current_span("checkout"):
        handle = await client.start_workflow(outer)
    output = await handle.result(timeout_s=30)
    starter, *attempts = spans()
    trace_id, span_id = hexadecimal(starter)
    assert output == {"first": trace_id, "second": trace_id}
    assert [span.name for span in attempts] == [
        "task on_the_loop",
        "task at_the_second_attempt",
        "task at_the_second_attempt",
        "task on_the_loop",
    ]
    for span in attempts:
        assert span.parent is not None
        assert (hexadecimal(span)[0], format(span.parent.span_id, "016x")) == (trace_id, span_id)
        assert span.kind is SpanKind.CONSUMER
    _, failed, again, child = attempts
    assert (failed.status.status_code, again.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert [event.name for event in failed.events] == ["exception"]
    attributes = [dict(span.attributes or {}) for span in (failed, again, child)]
    assert [one["orchestrator.task.attempt"] for one in attributes] == [0, 1, 0]
    assert attributes[0]["orchestrator.workflow.id"] == handle.id != attributes[2]["orchestrator.workflow.id"]
    assert attributes[2]["orchestrator.workflow.name"] == "inner"
    assert str(attributes[0]["orchestrator.task.id"]).startswith(handle.id)


async def test_tasks_in_other_processes_run_in_the_starters_trace(
    client: AsyncClient, spans: Callable[[], list[ReadableSpan]]
) -> None:
    with trace.get_tracer("shop").start_as_current_span("checkout"):
        handle = await client.start_workflow(pools)
    output = await handle.result(timeout_s=30)
    (starter,) = spans()
    trace_id, _ = hexadecimal(starter)
    assert output == {"child": trace_id, "horse": trace_id}


async def test_a_start_outside_any_trace_gives_each_attempt_one_of_its_own(
    client: AsyncClient, spans: Callable[[], list[ReadableSpan]]
) -> None:
    await (await client.start_workflow(inner)).result(timeout_s=30)
    (span,) = spans()
    assert span.parent is None


async def test_a_trace_comes_over_http_by_its_header_and_through_our_client(
    client: AsyncClient, settings: Settings, spans: Callable[[], list[ReadableSpan]]
) -> None:
    await client.register(inner)
    with Served(create_app(settings=settings)) as served:
        async with httpx2.AsyncClient(base_url=f"{served.url}/api", timeout=30) as http:
            headers = {"traceparent": PARENT}
            await http.post("/workflow/execute/inner/1", json={}, headers=headers)
            await http.post("/workflow/inner", json={}, headers=headers)
        async with AsyncClient(served.url) as remote:
            with trace.get_tracer("shop").start_as_current_span("checkout") as starter:
                await remote.execute_workflow(inner)
                remote_id = format(starter.get_span_context().trace_id, "032x")
    seen = [hexadecimal(span)[0] for span in spans() if span.name == "task on_the_loop"]
    assert sorted(set(seen)) == sorted({PARENT.split("-")[1], remote_id})


@pytest.mark.parametrize(
    "malformed",
    ["", "00-abc", PARENT.upper(), PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), f"ff{PARENT[2:]}"],
    ids=["none", "short", "upper", "zero", "version"],
)
def test_a_malformed_header_is_no_trace(malformed: str) -> None:
    assert trace_of({"traceparent": malformed, "tracestate": "a=b"}) == {}
    assert trace_of({"traceparent": PARENT, "tracestate": "a=b"}) == {"traceparent": PARENT, "tracestate": "a=b"}
    assert trace_of({"traceparent": PARENT, "tracestate": "a\n"}) == {"traceparent": PARENT}


def test_a_worker_that_shall_trace_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "orchestrator_workers.tracing", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[otel\]'"):
        register([on_the_loop], middleware=["orchestrator_workers.tracing:traced"])


UNUSED = """
import sys
sys.modules["opentelemetry"] = None  # as where it is not installed; Redis' client loads it where it is
from orchestrator import Workflow, task, testing
from tests.support.deciding import deciding

@task
def greet() -> str:
    return "hello"

with testing.environment([greet]) as env:
    handle = env.client.start_workflow(Workflow("hello").then(greet))
    print(handle.result())
"""


def test_a_program_without_opentelemetry_works_as_ever() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "workers", "cli"))}
    ran = subprocess.run([sys.executable, "-c", UNUSED], env=environment, capture_output=True, text=True, timeout=50)
    assert (ran.returncode, ran.stdout.strip()) == (0, "{'result': 'hello'}"), ran.stderr
