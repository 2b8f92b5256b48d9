"""Mocked outcomes by reference name: what is to happen to each step of a test, attempt after attempt.

A list stands for the attempts of one step, in order; a mapping under a sub-workflow's reference name holds the mocks of
the child's steps. In a loop ``poll__2`` means the second turn, plain ``poll`` the turns one after the other. A
sub-workflow with a list is not run: a stub ends in its place. Nothing here runs anything; ``mocked`` plays the outcomes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.core.kinds import INTERNAL, dispatch_state
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import TaskDef, TaskType, WorkflowDef, WorkflowTask, walk
from orchestrator.model.execution import Workflow as Execution
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.model.status import RESULT_STATUSES

STUB = {"mock": "stub"}
"""The metadata of a definition that only stands in for a mocked sub-workflow."""


@dataclass(frozen=True, kw_only=True)
class MockOutput:
    """One mocked outcome; ``takes_s`` it is worked on, after ``queued_s`` in the queue, both on the test's clock.

    A failed one may say itself when it is tried again (``retry_after_s``), as ``Retry`` does.
    Raises ``InvalidRequest`` for a status that cannot be reported.
    Example: ``MockOutput(status="FAILED", reason="bank is closed", takes_s=5)``
    """

    output: Mapping[str, Any] = field(default_factory=dict)
    status: str = "COMPLETED"
    reason: str | None = None
    takes_s: float = 0
    queued_s: float = 0
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.status not in set(RESULT_STATUSES):
            raise InvalidRequest(f"status {self.status!r} cannot be mocked; use one of {', '.join(RESULT_STATUSES)}")

    def outcome(self) -> Outcome:
        """As a worker reports it."""
        after_ms = None if self.retry_after_s is None else round(self.retry_after_s * 1000)
        packed = Raw(pack(dict(self.output), "output"))
        return Outcome(FORMAT, str(self.status), self.reason, retry_after_ms=after_ms, output=packed)


class Mocks:
    """The outcomes that are left, by the path of the step: ``charge``, or ``invoice/print`` in a child.

    ``root`` is the workflow under test; steps of others that run beside it have its name in front of their path.
    """

    def __init__(self, given: Mapping[str, Any], root: str) -> None:
        self.root = root
        self._left: dict[str, list[Any]] = {path: list(outcomes) for path, outcomes in _flat(given, "")}
        self._known = frozenset(self._left)

    def take(self, paths: list[str]) -> Any:
        """The next outcome of the step with one of these paths, the most exact first; ``NOTHING`` when none is left."""
        for path in paths:
            if self._left.get(path):
                return self._left[path].pop(0)
        return NOTHING

    def has(self, paths: list[str]) -> bool:
        """Whether an outcome is left for the step with one of these paths."""
        return any(self._left.get(path) for path in paths)

    def knows(self, paths: list[str]) -> bool:
        """Whether the test has said anything of this step."""
        return not self._known.isdisjoint(paths)

    def check(self, definitions: list[WorkflowDef]) -> None:
        """Refuse mocks of steps that the definitions do not have, the first of which is under test.

        Names made while a workflow runs cannot be known, so with a dynamic fork every name is let through. Raises
        ``InvalidRequest``.
        """
        steps = {task.task_reference_name: task for one in definitions for _, task in walk(one)}
        names = {one.name for one in definitions} | {one.failure_workflow for one in definitions}
        is_open = any(task.type in _MAKES_NAMES for task in steps.values())
        for path in sorted(self._known):
            ref = path.rsplit("/", 1)[-1]
            step = steps.get(ref) or steps.get(_ROUNDS.sub("", ref))
            if step is not None and dispatch_state(step.type) == INTERNAL:
                raise InvalidRequest(f"{path} is a {step.type}: it is decided by itself and cannot be mocked")
            is_elsewhere = "/" in path and path.split("/", 1)[0] in steps.keys() | names
            if step is None and not is_elsewhere and not is_open:
                raise InvalidRequest(f"no step {path!r} to mock; there are: {', '.join(sorted(steps))[:500]}")

    def stubbed(self, definition: WorkflowDef) -> WorkflowDef:
        """``definition`` with a stub in place of every sub-workflow whose outcomes are mocked."""
        is_root = definition.name == self.root
        names = {path.rsplit("/", 1)[-1] for path in self._known if ("/" not in path) is is_root}
        inner = {path.rsplit("/", 1)[-1] for path in self._known if "/" in path}
        return msgspec.structs.replace(definition, tasks=_stubbed(definition.tasks, names, inner))


NOTHING = object()

_ROUNDS = re.compile(r"(__[0-9]+)+$")

_MAKES_NAMES = (TaskType.FORK_JOIN_DYNAMIC, TaskType.DYNAMIC)


def mocks_of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The mocks of Conductor's WorkflowTestRequest: ``taskRefToMockOutput`` and ``subWorkflowTestRequest``.

    Raises ``InvalidRequest`` for what is none. Example: ``testing.run(order, mocks=mocks_of_request(json.load(file)))``
    """
    mocks: dict[str, Any] = {}
    for ref, outcomes in _mapping(request, "taskRefToMockOutput").items():
        if not isinstance(outcomes, list) or not all(isinstance(outcome, dict) for outcome in outcomes):
            raise InvalidRequest(f"taskRefToMockOutput.{ref} must be a list of objects")
        mocks[ref] = [_mock_of(ref, outcome) for outcome in outcomes]
    for ref, nested in _mapping(request, "subWorkflowTestRequest").items():
        mocks[ref] = mocks_of_request(nested)
    return mocks


def _mapping(request: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = request.get(key) or {}
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"{key} must be an object by reference name")
    return found


def _mock_of(ref: str, outcome: Mapping[str, Any]) -> MockOutput:
    output = outcome.get("output") or {}
    if not isinstance(output, dict):
        raise InvalidRequest(f"taskRefToMockOutput.{ref}: output must be an object")
    return MockOutput(
        output=output,
        status=outcome.get("status") or "COMPLETED",
        reason=outcome.get("reasonForIncompletion"),
        takes_s=(outcome.get("executionTime") or 0) / 1000,
        queued_s=(outcome.get("queueWaitTime") or 0) / 1000,
    )


def paths_of(prefix: str, ref: str) -> list[str]:
    """The paths under which a step may be mocked, the most exact first. Example: ``["a/poll__2", "a/poll"]``"""
    base = _ROUNDS.sub("", ref)
    return [prefix + ref] if base == ref else [prefix + ref, prefix + base]


def is_stub(workflow: Execution) -> bool:
    """Whether this execution only stands in for a mocked sub-workflow."""
    return workflow.workflow_definition is not None and workflow.workflow_definition.metadata == STUB


def _flat(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    for ref, outcomes in given.items():
        if isinstance(outcomes, Mapping):
            yield from _flat(outcomes, f"{prefix}{ref}/")
        elif isinstance(outcomes, list | tuple):
            yield prefix + ref, list(outcomes)
        else:
            raise InvalidRequest(
                f"the mocks of {prefix}{ref} must be a list, one outcome for each attempt, or for a sub-workflow a mapping "
                f"of its steps; not {type(outcomes).__name__}"
            )


def _stubbed(tasks: list[WorkflowTask], names: set[str], inner: set[str]) -> list[WorkflowTask]:
    """The steps with stubs for those in ``names``; ``inner`` are the names for definitions that are carried inside."""
    return [_stubbed_task(task, names, inner) for task in tasks]


def _stubbed_task(task: WorkflowTask, names: set[str], inner: set[str]) -> WorkflowTask:
    task = msgspec.structs.replace(
        task,
        decision_cases={case: _stubbed(tasks, names, inner) for case, tasks in task.decision_cases.items()},
        default_case=_stubbed(task.default_case, names, inner),
        fork_tasks=[_stubbed(tasks, names, inner) for tasks in task.fork_tasks],
        loop_over=_stubbed(task.loop_over, names, inner),
    )
    params = task.sub_workflow_param
    if task.type != TaskType.SUB_WORKFLOW or params is None:
        return task
    definition = params.workflow_definition
    if task.task_reference_name in names:
        definition = _stub(params.name if params.name and "${" not in params.name else task.task_reference_name)
    elif isinstance(definition, WorkflowDef):
        definition = msgspec.structs.replace(definition, tasks=_stubbed(definition.tasks, inner, inner))
    params = msgspec.structs.replace(params, workflow_definition=definition)
    return msgspec.structs.replace(task, sub_workflow_param=params)


def _stub(name: str) -> WorkflowDef:
    once = TaskDef(name="mock", retry_count=0, response_timeout_seconds=0)
    step = WorkflowTask(name="mock", task_reference_name="mock", task_definition=once)
    return WorkflowDef(name=name, tasks=[step], metadata=STUB)
