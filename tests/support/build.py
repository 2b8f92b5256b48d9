"""One-line domain objects for tests: steps, definitions, task definitions. Nothing here knows the engine.

Names are those of the definition language; a step's reference name is also its task name unless a test says otherwise.
"""

from __future__ import annotations

from typing import Any

from orchestrator.model.definitions import SubWorkflowParams, TaskDef, WorkflowDef, WorkflowTask


def workflow_def(*tasks: WorkflowTask, name: str = "flow", **fields: Any) -> WorkflowDef:
    """A definition of these steps. Example: ``workflow_def(simple("a"), output_parameters={"x": "${a.output.x}"})``."""
    return WorkflowDef(name=name, tasks=list(tasks), **fields)


def task_def(name: str, **fields: Any) -> TaskDef:
    """A task definition that retries at once and never times out, unless told otherwise."""
    return TaskDef(name=name, **{"retry_delay_seconds": 0, "response_timeout_seconds": 0, **fields})


def step(type_: str, ref: str, given: dict[str, Any] | None = None, **fields: Any) -> WorkflowTask:
    """A step of any type. Example: ``step("INLINE", "sum", {"a": 1})``."""
    fields.setdefault("name", ref)
    return WorkflowTask(task_reference_name=ref, type=type_, input_parameters=given or {}, **fields)


def simple(ref: str, given: dict[str, Any] | None = None, **fields: Any) -> WorkflowTask:
    """A step for workers."""
    return step("SIMPLE", ref, given, **fields)


def noop(ref: str) -> WorkflowTask:
    """A step that does nothing."""
    return step("NOOP", ref)


def wait(ref: str, **given: Any) -> WorkflowTask:
    """A WAIT. Example: ``wait("pause", duration="10s")``."""
    return step("WAIT", ref, given)


def sub_workflow(ref: str, given: dict[str, Any] | None = None, *, name: str = "child", **params: Any) -> WorkflowTask:
    """A SUB_WORKFLOW. Example: ``sub_workflow("pay", {"sum": 3}, name="payment", version=2)``."""
    fields = {key: params.pop(key) for key in ("optional", "permissive", "retry_count", "start_delay") if key in params}
    return step("SUB_WORKFLOW", ref, given, sub_workflow_param=SubWorkflowParams(name=name, **params), **fields)


def set_variable(ref: str, **given: Any) -> WorkflowTask:
    """A SET_VARIABLE. Example: ``set_variable("remember", total="${sum.output.total}")``."""
    return step("SET_VARIABLE", ref, given)


def terminate(ref: str, status: Any = "COMPLETED", **given: Any) -> WorkflowTask:
    """A TERMINATE. Example: ``terminate("stop", "FAILED", terminationReason="no stock")``."""
    return step("TERMINATE", ref, {"terminationStatus": status, **given})


def switch(
    ref: str, value: Any, cases: dict[str, list[WorkflowTask]], default: list[WorkflowTask] | None = None, **fields: Any
) -> WorkflowTask:
    """A SWITCH on a value. Example: ``switch("route", "${workflow.input.kind}", {"a": [simple("x")]})``."""
    return step(
        "SWITCH",
        ref,
        {"value": value},
        evaluator_type="value-param",
        expression="value",
        decision_cases=cases,
        default_case=default or [],
        **fields,
    )


def fork(ref: str, *branches: list[WorkflowTask]) -> WorkflowTask:
    """A FORK_JOIN; a ``join`` must follow it."""
    return step("FORK_JOIN", ref, fork_tasks=list(branches))


def join(ref: str, *on: str, **fields: Any) -> WorkflowTask:
    """A JOIN on these steps."""
    return step("JOIN", ref, join_on=list(on), **fields)


def forked(ref: str, *branches: list[WorkflowTask]) -> list[WorkflowTask]:
    """A fork and the JOIN of its branches' last steps: ``forked("f", [simple("a")])`` is joined by ``f_join``."""
    return [fork(ref, *branches), join(f"{ref}_join", *(branch[-1].task_reference_name for branch in branches))]


def dynamic_fork(ref: str, given: dict[str, Any] | None = None, **fields: Any) -> list[WorkflowTask]:
    """A dynamic fork and its JOIN ``<ref>_join``: ``dynamic_fork("f", {"forkTaskName": "a", "forkTaskInputs": [1]})``."""
    return [step("FORK_JOIN_DYNAMIC", ref, given, **fields), join(f"{ref}_join")]


def loop(
    ref: str, condition: str, *body: WorkflowTask, given: dict[str, Any] | None = None, **fields: Any
) -> WorkflowTask:
    """A DO_WHILE: ``loop("l", "$.l.iteration < 3", simple("a"))``."""
    return step("DO_WHILE", ref, given, loop_condition=condition, loop_over=list(body), **fields)
