"""Starting workflows through a client: which id, which definition, which input, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Workflow
from orchestrator.errors import (
    Conflict,
    DefinitionInvalid,
    DefinitionNotFound,
    InvalidPayload,
    InvalidRequest,
    WorkflowNotFound,
)
from orchestrator.plan import Command, Plan
from orchestrator.testing import Environment
from tests.client.conftest import greet, hello, waiting


def test_a_workflow_object_runs_without_being_registered(env: Environment) -> None:
    handle = env.client.start_workflow(hello, name="Ada")
    assert handle.result() == {"result": "Hello, Ada"}
    assert env.client.list_workflows(name="hello").total == 1
    with pytest.raises(DefinitionNotFound):
        env.client.start_workflow("hello", name="Ada")


def test_the_task_definitions_of_a_started_object_are_registered_where_there_are_none(env: Environment) -> None:
    env.client.start_workflow(hello, name="Ada")
    stored: bytes = env.run(one(Command(("HGET", env.store.keys.task_definitions(), "greet"))))
    assert b'"retryCount":3' in stored


def test_a_name_that_is_not_registered_is_named_in_the_error(env: Environment) -> None:
    with pytest.raises(DefinitionNotFound, match=r"name=nobody.*def apply"):
        env.client.start_workflow("nobody")


def test_the_latest_version_is_started_unless_one_is_asked_for(env: Environment) -> None:
    env.client.register(hello, Workflow("hello", version=2).then(greet, name="second"))
    assert env.client.execute_workflow("hello", name="Ada") == {"result": "Hello, second"}
    assert env.client.with_options(version=1).execute_workflow("hello", name="Ada") == {"result": "Hello, Ada"}


def test_an_object_of_another_version_than_the_one_asked_for_is_refused(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="version=2"):
        env.client.with_options(version=2).start_workflow(hello)


def test_the_input_template_fills_what_is_missing_even_in_an_empty_input(env: Environment) -> None:
    workflow = Workflow("templated", input_template={"name": "nobody", "greeting": "Hi"}).then(
        greet, name="${workflow.input.name}", greeting="${workflow.input.greeting}"
    )
    assert env.client.execute_workflow(workflow) == {"result": "Hi, nobody"}
    assert env.client.execute_workflow(workflow, {"name": "Ada"}) == {"result": "Hi, Ada"}


def test_inputs_of_both_forms_are_merged_and_named_ones_win(env: Environment) -> None:
    handle = env.client.start_workflow(hello, {"name": "Ada", "priority": "an input"}, name="Bob")
    assert handle.describe().input == {"name": "Bob", "priority": "an input"}


@pytest.mark.parametrize("value", [float("nan"), 2**70, {1: "x"}, "x" * (4 * 1024 * 1024)])
def test_an_input_that_cannot_be_stored_is_refused_before_anything_is(env: Environment, value: Any) -> None:
    with pytest.raises(InvalidPayload):
        env.client.start_workflow(hello, name=value)
    assert env.client.list_workflows().total == 0


@pytest.mark.parametrize("priority", [-1, 100])
def test_a_priority_outside_0_to_99_is_refused(env: Environment, priority: int) -> None:
    with pytest.raises(DefinitionInvalid, match="priority"):
        env.client.with_options(priority=priority).start_workflow(hello)


def test_options_are_kept_with_the_execution(env: Environment) -> None:
    client = env.client.with_options(priority=7, correlation_id="c-1", domains={"*": "eu"}, created_by="Ada")
    workflow = client.start_workflow(waiting).describe()
    assert (workflow.priority, workflow.correlation_id, workflow.created_by) == (7, "c-1", "Ada")
    assert workflow.task_to_domain == {"*": "eu"}


def test_an_option_that_does_not_exist_is_refused(env: Environment) -> None:
    options: Any = {"prio": 1}
    with pytest.raises(InvalidRequest, match="'prio' is not an option"):
        env.client.with_options(**options)


# --- ids and keys -----------------------------------------------------------------------------------------------------


def test_a_chosen_id_is_used_once(env: Environment) -> None:
    client = env.client.with_options(workflow_id="order-17")
    assert client.start_workflow(waiting).id == "order-17"
    with pytest.raises(Conflict, match=r"order-17 is in use"):
        client.start_workflow(waiting)


@pytest.mark.parametrize("bad", ["", "two words", "x" * 201])
def test_an_id_that_could_not_be_told_apart_is_refused(env: Environment, bad: str) -> None:
    with pytest.raises(InvalidRequest, match="workflow id"):
        env.client.with_options(workflow_id=bad).start_workflow(hello)


def test_an_id_and_a_key_together_are_refused(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="not both"):
        env.client.with_options(workflow_id="a", idempotency_key="k").start_workflow(hello)


def test_a_repeated_request_id_starts_once(env: Environment) -> None:
    client = env.client.with_options(request_id="r-1")
    assert client.start_workflow(waiting).id == client.start_workflow(waiting).id
    assert env.client.list_workflows().total == 1


def test_a_key_in_use_is_a_conflict_by_default(env: Environment) -> None:
    client = env.client.with_options(idempotency_key="k")
    first = client.start_workflow(hello, name="Ada")
    first.result()
    with pytest.raises(Conflict, match=first.id):
        client.start_workflow(hello, name="Ada")


def test_return_existing_gives_the_first_execution(env: Environment) -> None:
    client = env.client.with_options(idempotency_key="k", idempotency_strategy="RETURN_EXISTING")
    first, second = client.start_workflow(waiting), client.start_workflow(waiting)
    assert (first.existed, second.existed) == (False, True)
    assert first.id == second.id


def test_fail_on_running_starts_anew_once_the_former_has_ended(env: Environment) -> None:
    client = env.client.with_options(idempotency_key="k", idempotency_strategy="FAIL_ON_RUNNING")
    first = client.start_workflow(waiting)
    with pytest.raises(Conflict, match="is running"):
        client.start_workflow(waiting)
    first.terminate("enough")
    second = client.start_workflow(waiting)
    assert second.id != first.id
    with pytest.raises(Conflict, match=second.id):
        client.start_workflow(waiting)


def test_a_key_counts_per_workflow_name(env: Environment) -> None:
    client = env.client.with_options(idempotency_key="k")
    assert client.start_workflow(hello, name="Ada").id != client.start_workflow(waiting).id


def test_an_unknown_strategy_is_refused(env: Environment) -> None:
    strategy: Any = "SOMETIMES"
    with pytest.raises(InvalidRequest, match="SOMETIMES"):
        env.client.with_options(idempotency_key="k", idempotency_strategy=strategy).start_workflow(hello)


def test_options_of_enqueue_are_refused_for_a_start(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="options of enqueue"):
        env.client.with_options(delay_s=5).start_workflow(hello)


def test_a_handle_of_an_unknown_id_says_so(env: Environment) -> None:
    with pytest.raises(WorkflowNotFound, match=r"nobody.*workflow list"):
        env.client.workflow("nobody").status()


def one(command: Command) -> Plan[Any]:
    """A plan of one command."""
    return (yield command)
