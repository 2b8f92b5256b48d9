"""Handles: look at an execution, wait for it, act on it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Client, RetryPolicy, Workflow, task
from orchestrator.errors import (
    Conflict,
    DefinitionNotFound,
    InvalidPayload,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    TaskNotFound,
    TerminalError,
    WaitTimeout,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from orchestrator.plan import Wait
from orchestrator.service import workflows
from orchestrator.settings import Settings
from orchestrator.store.context import StoreContext
from orchestrator.testing import Environment
from tests.client.conftest import greet, hello, waiting


@task(retry=RetryPolicy(limit=0))
def fail() -> None:
    raise TerminalError("nothing helps")


def test_a_completed_execution_gives_its_output(env: Environment) -> None:
    handle = env.client.start_workflow(hello, name="Ada")
    assert handle.status() == "RUNNING"
    assert handle.output() == {}
    assert handle.result(timeout_s=5) == {"result": "Hello, Ada"} == handle.output()
    assert handle.describe().task("greet").status == "COMPLETED"


def test_a_failed_execution_raises_with_its_id_and_reason(env: Environment) -> None:
    env.serve(fail)
    handle = env.client.start_workflow(Workflow("failing").then(fail))
    with pytest.raises(WorkflowFailed, match="nothing helps") as caught:
        handle.result()
    assert caught.value.workflow_id == handle.id


def test_a_terminated_execution_raises_with_the_reason_given(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    handle.terminate("no longer needed")
    with pytest.raises(WorkflowTerminated, match="no longer needed"):
        handle.result()


def test_an_execution_that_timed_out_raises(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("slow", timeout_s=60).wait(for_s=3600))
    with pytest.raises(WorkflowTimedOut):
        handle.result()


def test_waiting_ends_in_time_and_the_execution_goes_on(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("slow").wait(for_s=3600))
    with pytest.raises(WaitTimeout, match=r"still RUNNING after 5 s"):
        handle.result(timeout_s=5)
    assert handle.status() == "RUNNING"
    assert handle.result(timeout_s=3600) == {}


def test_paused_schedules_nothing_until_resumed(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    handle.pause()
    handle.signal("go", {"name": "Ada"})
    env.drain()
    assert handle.status() == "PAUSED"
    assert handle.describe().find_task("greet") is None
    handle.resume()
    assert handle.result() == {"result": "Hello, Ada"}


def test_a_signal_becomes_the_output_of_the_step_that_waits(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    handle.signal("go", {"name": "Ada"})
    assert handle.describe().task("go").output_data == {"name": "Ada"}


def test_what_the_decider_refuses_is_raised(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    with pytest.raises(Conflict, match="not PAUSED"):
        handle.resume()
    with pytest.raises(TaskNotFound, match="stop"):
        handle.signal("stop")
    with pytest.raises(WorkflowNotFound):
        env.client.workflow("nobody").pause()


def test_an_action_repeated_under_its_request_id_happens_once(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    handle.pause(request_id="r-1")
    handle.resume()
    handle.pause(request_id="r-1")
    assert handle.status() == "RUNNING"


def test_without_a_decider_the_outcome_of_an_action_is_unknown(fakeredis_url: str) -> None:
    settings = Settings(redis_url=fakeredis_url, partitions=1)
    with Client(settings=settings) as client:
        handle = client.with_options(wait_commit=False).start_workflow(hello)
        with pytest.raises(OutcomeUnknown, match=r"request_id='r-1'"):
            handle.pause(request_id="r-1", timeout_s=1)


@pytest.mark.parametrize("timeout_s", [-1, 0, 0.99, 601])
def test_a_wait_that_would_learn_nothing_is_refused_and_nothing_is_sent(env: Environment, timeout_s: float) -> None:
    handle = env.client.start_workflow(waiting)
    with pytest.raises(InvalidRequest, match="is outside 1 to 600 seconds"):
        handle.pause(timeout_s=timeout_s)
    assert handle.status() == "RUNNING"


def test_an_endless_wait_is_made_of_waits_with_an_end() -> None:
    store = StoreContext(Settings(partitions=1))
    plan = workflows.await_end(store, "w")
    running = [b"RUNNING", None, None]
    steps = [next(plan), plan.send(running), plan.send(running)]
    assert [step.timeout_s for step in steps if isinstance(step, Wait)] == [workflows.WAIT_SLICE_S] * 3


def test_a_removed_execution_is_gone_from_lists_and_its_key_is_free(env: Environment) -> None:
    client = env.client.with_options(idempotency_key="k", correlation_id="c")
    handle = client.start_workflow(waiting)
    with pytest.raises(Conflict, match="workflow terminate"):
        handle.remove()
    handle.terminate()
    handle.remove()
    assert env.client.list_workflows().total == env.client.list_workflows(correlation_id="c").total == 0
    with pytest.raises(WorkflowNotFound):
        handle.status()
    assert client.start_workflow(waiting).status() == "RUNNING"


def test_a_running_execution_is_removed_by_force_with_its_timers(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("slow", timeout_s=7200).wait(for_s=3600))
    handle.remove(force=True)
    env.run_until_quiet()
    assert env.clock.monotonic_s() == 0


def test_unparking_what_is_not_parked_moves_nothing(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    assert env.run(workflows.unpark(env.store, handle.id)) == 0
    with pytest.raises(WorkflowNotFound):
        env.run(workflows.unpark(env.store, "nobody"))


# --- acting on what has ended, and on what is under way ----------------------------------------------------------------


def test_a_restarted_execution_runs_again_by_the_latest_definition(env: Environment) -> None:
    first = Workflow("order", version=1).then(greet, name="first")
    env.client.register(first)
    handle = env.client.start_workflow("order")
    assert handle.result() == {"result": "Hello, first"}
    env.client.register(Workflow("order", version=2).then(greet, ref="again", name="second"))
    handle.restart()
    assert handle.result() == {"result": "Hello, first"}
    handle.restart(use_latest_definitions=True)
    assert handle.status() == "RUNNING"
    assert env.client.list_workflows(status="RUNNING").total == 1
    assert handle.result() == {"result": "Hello, second"}
    described = handle.describe()
    assert (described.workflow_version, [task.reference_task_name for task in described.tasks]) == (2, ["again"])
    with pytest.raises(Conflict, match="only one that has ended"):
        env.client.start_workflow(waiting).restart()


def test_a_restart_by_the_latest_definition_needs_a_registered_one(env: Environment) -> None:
    handle = env.client.start_workflow(hello, name="Ada")
    handle.result()
    with pytest.raises(DefinitionNotFound):
        handle.restart(use_latest_definitions=True)
    with pytest.raises(WorkflowNotFound):
        env.client.workflow("nobody").restart(use_latest_definitions=True)


def test_a_restarted_execution_moves_to_the_front_of_the_lists(env: Environment) -> None:
    one = env.client.with_options(correlation_id="c").start_workflow(hello, name="Ada")
    one.result()
    env.clock.advance(5)
    other = env.client.with_options(correlation_id="c").start_workflow(hello, name="Bob")
    env.clock.advance(5)
    one.restart()
    by_each: list[dict[str, Any]] = [{"correlation_id": "c"}, {"name": "hello"}, {"status": "RUNNING"}]
    for conditions in by_each:
        assert [item.workflow_id for item in env.client.list_workflows(**conditions).items] == [one.id, other.id]


def test_a_skipped_step_is_passed_over_with_the_output_given(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    handle.skip("greet", output={"result": "by hand"})
    handle.signal("go")
    assert handle.status() == "COMPLETED"
    assert handle.describe().task("greet").status == "SKIPPED"
    with pytest.raises(NotFound, match="nobody does not exist"):
        env.client.start_workflow(waiting).skip("nobody")


def test_variables_and_tasks_are_changed_from_outside(env: Environment) -> None:
    flow = Workflow("flow").wait(signal="w").output(said="${workflow.variables.said}", by="${w.output.by}")
    handle = env.client.start_workflow(flow)
    handle.update_variables({"said": "yes"})
    assert handle.update_task("w", output={"by": "Ada"})
    assert handle.result() == {"said": "yes", "by": "Ada"}
    with pytest.raises(InvalidPayload, match="greater than the permissible limit"):
        env.client.start_workflow(flow).update_variables({"x": "y" * 300_000})


def test_a_delayed_retry_runs_at_once_when_callbacks_are_reset(env: Environment) -> None:
    ran = []

    @task(retry=RetryPolicy(limit=1, delay_s=3600))
    def flaky() -> str:
        ran.append(env.clock.monotonic_s())
        if len(ran) == 1:
            raise ValueError("the first time")
        return "done"

    env.serve(flaky)
    handle = env.client.start_workflow(Workflow("retried").then(flaky))
    env.drain()
    assert handle.reset_callbacks() == 1
    env.drain()
    assert (handle.status(), len(ran), env.clock.monotonic_s()) == ("COMPLETED", 2, 0)


def test_a_handle_says_what_it_waits_for_and_exports_what_can_be_imported(env: Environment) -> None:
    handle = env.client.start_workflow(waiting)
    assert [reason.kind for reason in handle.why().reasons] == ["SIGNAL"]
    handle.signal("go", {"name": "Ada"})
    assert handle.result() == {"result": "Hello, Ada"}
    copy = env.client.import_execution(handle.export(), is_new=True)
    assert copy.id != handle.id
    assert (copy.status(), copy.output()) == ("COMPLETED", {"result": "Hello, Ada"})
