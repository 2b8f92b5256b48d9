"""Test workflows and tasks without a Redis, without waiting and without guessing: ``from orchestrator import testing``.

``run`` runs one workflow to its end, ``environment`` is an installation at the test's command, ``call_task`` runs one
task alone. Retries, delays and waits take no time: the clock jumps. Needs the extra ``test``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator import codec, ids
from orchestrator.binding import encode_output
from orchestrator.context import TaskContext
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.execution import Workflow as Execution
from orchestrator.model.status import TaskStatus
from orchestrator.task import Task
from orchestrator.testing.clock import START, ManualClock
from orchestrator.testing.enqueued import Enqueued, all_enqueued, assert_enqueued, refute_enqueued
from orchestrator.testing.environment import Environment, environment
from orchestrator.testing.mocks import MockOutput, Mocks, mocks_of_request
from orchestrator.testing.recordings import Replay, began, differences, mocks_of, recording
from orchestrator.testing.results import TaskResult, WorkflowResult
from orchestrator.testing.running import run_task
from orchestrator.workflow import Workflow

__all__ = [
    "Enqueued",
    "Environment",
    "ManualClock",
    "MockOutput",
    "Replay",
    "TaskResult",
    "WorkflowResult",
    "all_enqueued",
    "assert_enqueued",
    "call_task",
    "environment",
    "mocks_of_request",
    "refute_enqueued",
    "replay",
    "run",
]


def run(
    workflow: Workflow | WorkflowDef,
    input: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Any] | Iterable[Task[..., Any]] = (),
    *,
    mocks: Mapping[str, Any] | None = None,
    others: Iterable[Workflow | WorkflowDef | TaskDef] = (),
    now: datetime = START,
) -> WorkflowResult:
    """Run a workflow in this process until it has ended or nothing more can happen by itself.

    ``tasks`` replaces tasks by name with functions, lists of outcomes or values, or adds task objects; those that the
    workflow was written with run as they are. ``others`` are registered too: the workflow started on failure, TaskDefs.

    ``mocks`` gives steps by reference name a list of outcomes, one for each attempt: what a fake may do, or a
    ``MockOutput``. Waits, people and sub-workflows can be mocked as well; a mapping under a sub-workflow's name holds
    the mocks of its steps. A step without a mock left and without a function stays open (``result.missing``).

    An execution that fails does not raise: ask the result. Raises ``InvalidRequest`` when, without ``mocks``, a task has
    no function, and for mocks of steps that there are not.
    Example: ``testing.run(order, {"id": 7}, mocks={"charge": [TimeoutError("closed"), {"paid": True}]})``
    """
    fakes = tasks if isinstance(tasks, Mapping) else {}
    added = [] if isinstance(tasks, Mapping) else list(tasks)
    written = [task for item in (workflow, *others) if isinstance(item, Workflow) for task in item.tasks]
    served = [*{task.name: task for task in [*written, *added]}.values()]
    played = None if mocks is None else Mocks(mocks, workflow.name)
    if played is not None:
        definitions = [_definition(item) for item in (workflow, *others) if not isinstance(item, TaskDef)]
        played.check(definitions)
        workflow, *rest = [played.stubbed(definition) for definition in definitions]
        others = [*rest, *(item for item in others if isinstance(item, TaskDef))]
    with environment(served, fakes, now=now, mocks=played) as env:
        env.client.register(*written, *others)
        handle = env.client.start_workflow(workflow, input)
        env.run_until_quiet()
        missing = env.unserved()
        if missing and played is None:
            raise InvalidRequest(
                f"workflow {workflow.name} uses tasks that have no function in this test: {', '.join(missing)}; give "
                f"tasks={{{missing[0]!r}: ...}}"
            )
        return WorkflowResult(handle.describe(), missing)


def replay(
    source: str | Path | Mapping[str, Any],
    workflow: Workflow | WorkflowDef | None = None,
    *,
    others: Iterable[Workflow | WorkflowDef | TaskDef] = (),
) -> Replay:
    """Feed the recorded outcomes of an exported execution to the code of today, and compare what is decided.

    ``source`` is an export (see ``orchestrator workflow export``) or a file that holds one. It is played against
    ``workflow``, by default the definition it ran on then. ``others`` are registered too, TaskDefs above all: their
    retries and time-outs are not in the record. Raises ``InvalidRequest`` for what is no execution.
    Example: ``testing.replay("tests/runs/order-17.json", order, others=[charge.definition()]).assert_same()``
    """
    recorded = recording(source)
    assert recorded.workflow_definition is not None
    chosen = recorded.workflow_definition if workflow is None else _definition(workflow)
    written = [task.definition() for task in workflow.tasks] if isinstance(workflow, Workflow) else []
    result = _played(chosen, recorded, [*written, *others])
    return Replay(differences(recorded, result.workflow), result)


def _played(
    workflow: WorkflowDef, recorded: Execution, others: list[Workflow | WorkflowDef | TaskDef]
) -> WorkflowResult:
    mocks = Mocks(mocks_of(recorded), workflow.name)
    with environment(now=began(recorded), mocks=mocks) as env:
        env.client.register(
            *(item if isinstance(item, TaskDef) else mocks.stubbed(_definition(item)) for item in others)
        )
        client = env.client.with_options(
            workflow_id=recorded.workflow_id,
            correlation_id=recorded.correlation_id,
            priority=recorded.priority,
            domains=recorded.task_to_domain,
        )
        handle = client.start_workflow(mocks.stubbed(workflow), recorded.input)
        env.run_until_quiet()
        return WorkflowResult(handle.describe(), env.unserved())


def _definition(workflow: Workflow | WorkflowDef) -> WorkflowDef:
    return workflow if isinstance(workflow, WorkflowDef) else workflow.definition()


def call_task(task: Task[..., Any], input: Mapping[str, Any] | None = None, /, **inputs: Any) -> TaskResult:
    """Run one task's code once, inputs and outputs converted as a worker does it, with a ``TaskContext`` of its own.

    What it raises is in the result: ``status``, ``reason`` and ``error``. Raises ``InvalidPayload`` for inputs that
    cannot be stored. Example: ``testing.call_task(greet, name="Ada").output == {"result": "Hello, Ada"}``
    """
    given = codec.unpack(codec.pack(encode_output({**(input or {}), **inputs}), "input"))
    workflow_id = ids.new_workflow_id(0, 0, b"testing.")
    context = TaskContext(ids.task_id(workflow_id, task.name, 0, 0, 0), workflow_id, "testing", task.name, task.name)
    outcome, error = run_task(task, given, context)
    output = codec.unpack(bytes(outcome.output)) or {}
    logs = [line for _, line in outcome.logs]
    return TaskResult(task.name, TaskStatus(outcome.status), given, output, outcome.reason, logs=logs, error=error)
