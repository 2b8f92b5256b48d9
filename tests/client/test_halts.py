"""Executing and signalling with an answer: where a workflow stood when waiting for it was over, as the caller wants it."""

from __future__ import annotations

import time

import pytest

from orchestrator import Branch, Workflow
from orchestrator.client import Client
from orchestrator.errors import Conflict, InvalidRequest, TaskNotFound
from orchestrator.service import halts
from orchestrator.settings import Settings
from orchestrator.store import channels, executors
from orchestrator.testing import Environment
from tests.client.conftest import greet, hello, waiting
from tests.support.eventually import eventually

inner = Workflow("inner").wait(signal="stop").then(greet, name="${stop.output.name}")
outer = Workflow("outer").then(greet, ref="first", name="Ada").sub_workflow(inner, ref="sub").then(greet, name="Bob")


def test_a_workflow_that_ends_is_given_as_it_ended(env: Environment) -> None:
    halt = env.client.execute_until_halt(hello, name="Ada")
    assert (halt.timed_out, halt.task, halt.target.status) == (False, None, "COMPLETED")
    assert halt.output == {"result": "Hello, Ada"}


@pytest.mark.parametrize(
    ("strategy", "workflow", "task"),
    [
        ("TARGET_WORKFLOW", "outer", None),
        ("BLOCKING_WORKFLOW", "inner", None),
        ("BLOCKING_TASK", "inner", "stop"),
        ("BLOCKING_TASK_INPUT", "inner", "stop"),
    ],
)
def test_each_strategy_gives_its_own_view_of_what_blocks(
    env: Environment, strategy: str, workflow: str, task: str | None
) -> None:
    env.client.register(inner)
    halt = env.client.with_options(return_strategy=strategy).execute_until_halt(outer)
    assert (halt.target.workflow_name, halt.workflow.workflow_name, halt.timed_out) == ("outer", workflow, False)
    assert (halt.task.reference_task_name if halt.task is not None else None) == task
    assert halt.output == ({"signal": "stop"} if strategy == "BLOCKING_TASK_INPUT" else {})


def test_the_end_of_a_task_that_the_caller_names_is_a_halt(env: Environment) -> None:
    env.client.register(inner)
    options = env.client.with_options(wait_until_refs=["first"], return_strategy="BLOCKING_TASK")
    halt = options.execute_until_halt(outer)
    assert halt.task is not None
    assert (halt.task.reference_task_name, halt.output) == ("first", {"result": "Hello, Ada"})


def test_a_task_strategy_of_what_ended_or_goes_on_gives_no_task(env: Environment) -> None:
    ended = env.client.with_options(return_strategy="BLOCKING_TASK").execute_until_halt(hello, name="Ada")
    assert (ended.task, ended.output, ended.timed_out) == (None, {}, False)
    slow = Workflow("slow").wait(for_s=3600)
    goes_on = env.client.with_options(timeout_s=5, return_strategy="BLOCKING_TASK").execute_until_halt(slow)
    assert (goes_on.task, goes_on.timed_out, goes_on.target.status) == (None, True, "RUNNING")


def test_a_signal_finds_what_waits_in_a_sub_workflow(env: Environment) -> None:
    env.client.register(inner)
    handle = env.client.start_workflow(outer)
    env.drain()
    handle.signal("stop", {"name": "Cy"})
    assert handle.result() == {"result": "Hello, Bob"}
    assert handle.describe().task("sub").output_data["result"] == "Hello, Cy"


def test_a_signal_is_answered_with_the_next_halt(env: Environment) -> None:
    twice = Workflow("twice").wait(signal="one").then(greet, name="${one.output.name}").wait(signal="two")
    handle = env.client.start_workflow(twice)
    halt = handle.signal_and_wait("one", {"name": "Ada"}, return_strategy="BLOCKING_TASK")
    assert halt.task is not None
    assert (halt.task.reference_task_name, halt.target.task("greet").status) == ("two", "COMPLETED")
    ended = handle.signal_and_wait(payload={"said": "go"})
    assert (ended.target.status, ended.output) == ("COMPLETED", {"said": "go"})


def test_a_signal_that_nobody_waits_for_is_refused_whatever_lies_beneath(env: Environment) -> None:
    env.client.register(inner)
    handle = env.client.start_workflow(outer)
    with pytest.raises(TaskNotFound, match=f"in workflow {handle.id} to signal"):
        handle.signal_and_wait("stop")
    env.drain()
    with pytest.raises(TaskNotFound, match=f"in workflow {handle.id} to signal"):
        handle.signal("other")
    handle.terminate()
    with pytest.raises(Conflict):
        handle.signal("stop")


def test_a_signal_repeated_under_its_request_id_happens_once(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("two").wait(signal="one").wait(signal="two"))
    for _ in range(2):
        handle.signal(request_id="r-1")
    assert handle.describe().task("two").status == "IN_PROGRESS"


def test_strategies_and_times_that_are_none_are_refused_before_anything_starts(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="use one of TARGET_WORKFLOW"):
        env.client.with_options(return_strategy="ALL").execute_until_halt(hello, name="Ada")
    with pytest.raises(InvalidRequest, match="outside 0 to 600 seconds"):
        env.client.with_options(timeout_s=601).execute_until_halt(hello, name="Ada")
    assert env.client.list_workflows().total == 0


def test_on_a_real_store_a_halt_is_noticed_when_it_happens(live: Settings) -> None:
    with Client(settings=live) as client:
        halt = client.with_options(return_strategy="BLOCKING_TASK", timeout_s=30).execute_until_halt(waiting)
        assert halt.task is not None
        assert halt.task.reference_task_name == "go"
        handle = client.workflow(halt.target.workflow_id)
        assert handle.signal_and_wait("go", {"name": "Ada"}, timeout_s=30).output == {"result": "Hello, Ada"}


def test_a_halt_far_below_is_noticed_when_it_happens_and_not_by_looking_again(
    address: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((halts, "RELOOK_S"), (executors, "RECHECK_S"), (channels, "RECHECK_S")):
        monkeypatch.setattr(module, name, 60.0)
    late = Workflow("late").wait(for_s=1).wait(signal="stop")
    lasting = Workflow("lasting").wait(for_s=3600)

    def above(first: Branch) -> Workflow:
        below = Branch().sub_workflow(late, ref="late"), Branch().sub_workflow(lasting, ref="lasting")
        return Workflow("above").fork(first, *below)

    with Client(settings=address) as client:
        client.register(late, lasting)
        handle = client.start_workflow(above(Branch().wait(signal="go")))
        eventually(lambda: client.list_workflows(name="lasting").total == 1)
        began_s = time.monotonic()
        found = [handle.signal_and_wait("go", return_strategy="BLOCKING_TASK", timeout_s=30)]
        options = client.with_options(return_strategy="BLOCKING_TASK", timeout_s=30)
        found.append(options.execute_until_halt(above(Branch().then(greet, name="Ada"))))
        assert time.monotonic() - began_s < 15
    assert [halt.task.reference_task_name for halt in found if halt.task is not None] == ["stop", "stop"]
