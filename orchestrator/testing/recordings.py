"""Replay: what happened once is fed to the definition and the engine of today, and they must decide the same.

The recorded outcomes of tasks, waits, people and sub-workflows become mocks, each after the time it took then; scripts
and JSON transformations run anew. What an operator did by hand (terminate, retry, changed variables) is not in the
records and shows up as a difference.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.core.kinds import INTERNAL, dispatch_state
from orchestrator.errors import InvalidRequest
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.status import WorkflowStatus
from orchestrator.model.wire import workflow_from_dict
from orchestrator.testing.mocks import MockOutput
from orchestrator.testing.results import WorkflowResult

_RUN_ANEW = frozenset({"INLINE", "LAMBDA", "JSON_JQ_TRANSFORM", "SCRIPT"})
"""Types whose outcome is a function of their input: a change in them is what a replay is to find."""

_NEVER_S = 10 * 365 * 86_400.0
"""An attempt that nobody ended: it takes longer than any time-out."""

_VALUE_CHARS_MAX = 200


@dataclass(frozen=True)
class Replay:
    """What came of a replay: ``differences``, one line each, and the ``result`` of the run of today."""

    differences: list[str]
    result: WorkflowResult

    def assert_same(self) -> Replay:
        """This replay, if nothing differs; otherwise an ``AssertionError`` that lists what does."""
        if self.differences:
            listed = "\n".join(f"  {line}" for line in self.differences)
            raise AssertionError(f"the replay differs from the record:\n{listed}\n{self.result.timeline()}")
        return self


def recording(source: str | Path | Mapping[str, Any]) -> Workflow:
    """The execution in an export, in a file with one, or in the JSON of ``workflow get``.

    Raises ``InvalidRequest`` for what is none, and ``DefinitionInvalid`` for a damaged one.
    """
    document: Any = source
    if not isinstance(source, Mapping):
        document = json.loads(Path(source).read_text(encoding="utf-8"))
    if isinstance(document, Mapping) and "workflow" in document:
        document = document["workflow"]
    if not isinstance(document, Mapping) or "workflowId" not in document:
        raise InvalidRequest(
            f"{_named(source)} holds no execution; make one with: orchestrator workflow export ID -f FILE"
        )
    workflow = workflow_from_dict(dict(document))
    if workflow.workflow_definition is None:
        raise InvalidRequest(f"the execution in {_named(source)} comes without its definition and cannot be replayed")
    return workflow


def _named(source: str | Path | Mapping[str, Any]) -> str:
    return "the document" if isinstance(source, Mapping) else str(source)


def mocks_of(recorded: Workflow) -> dict[str, list[MockOutput]]:
    """The recorded outcomes as mocks, attempt after attempt, for every step that does not decide by itself."""
    mocks: dict[str, list[MockOutput]] = defaultdict(list)
    retries = {task.retried_task_id: task for task in recorded.tasks if task.retried_task_id}
    for task in recorded.tasks:
        if dispatch_state(task.task_type) == INTERNAL or task.task_type in _RUN_ANEW:
            continue
        if task.is_terminal and task.status != "SKIPPED" and not _is_timer(task):
            mocks[task.reference_task_name].append(_mock_of(task, retries.get(task.task_id)))
    return dict(mocks)


def _is_timer(task: Task) -> bool:
    """A WAIT for a time that came: the clock ends it in the replay as well."""
    is_timed = bool(task.input_data.get("duration") or task.input_data.get("until"))
    return task.task_type == "WAIT" and is_timed and task.status == "COMPLETED" and not task.output_data


def _mock_of(task: Task, following: Task | None) -> MockOutput:
    if task.status in ("TIMED_OUT", "CANCELED"):
        return MockOutput(takes_s=_NEVER_S)
    status = "FAILED" if task.status == "COMPLETED_WITH_ERRORS" else str(task.status)
    began_ms = task.start_time or task.scheduled_time
    due_ms = task.scheduled_time + task.start_delay_in_seconds * 1000
    output = {
        name: value
        for name, value in task.output_data.items()
        if not (task.sub_workflow_id and name == "subWorkflowId")
    }
    return MockOutput(
        output=output,
        status=status,
        reason=task.reason_for_incompletion,
        takes_s=max(0, task.end_time - began_ms) / 1000,
        queued_s=max(0, began_ms - due_ms) / 1000,
        retry_after_s=following.start_delay_in_seconds if following is not None else None,
    )


def began(recorded: Workflow) -> datetime:
    """When it was started, for the clock of the replay."""
    return datetime.fromtimestamp(recorded.create_time / 1000, UTC)


# --- compare ----------------------------------------------------------------------------------------------------------


def differences(recorded: Workflow, replayed: Workflow) -> list[str]:
    """What the run of today did otherwise, in the order of the record; empty when it decided the same."""
    then, now = _attempts(recorded), _attempts(replayed)
    found = []
    for key, task in then.items():
        if key not in now:
            found.append(f"{_called(key)} was {task.status} then and is not reached now")
        else:
            found += [f"{_called(key)}: {line}" for line in _task_differences(task, now[key])]
    found += [
        f"{_called(key)} is {task.status} now and was not reached then" for key, task in now.items() if key not in then
    ]
    order_then = [key for key in then if key in now]
    order_now = [key for key in now if key in then]
    if not found and _starts(then, order_then) != _starts(now, order_now):
        found.append("the steps are scheduled in another order now")
    return [*found, *_end_differences(recorded, replayed)]


def _attempts(workflow: Workflow) -> dict[tuple[str, int], Task]:
    return {(task.reference_task_name, task.retry_count): task for task in workflow.tasks}


def _starts(tasks: dict[tuple[str, int], Task], order: list[tuple[str, int]]) -> list[list[tuple[str, int]]]:
    """The attempts in groups that were scheduled at one moment, because those have no order among themselves."""
    groups: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for key in order:
        groups[tasks[key].scheduled_time].append(key)
    return [sorted(group) for _, group in sorted(groups.items())]


def _task_differences(then: Task, now: Task) -> Iterator[str]:
    if then.task_type != now.task_type and then.task_type:
        yield f"type {then.task_type} then, {now.task_type} now"
    if then.status != now.status:
        yield f"status {then.status} then, {now.status} now{_because(now.reason_for_incompletion)}"
    if dispatch_state(then.task_type) != INTERNAL or then.task_type in _RUN_ANEW:
        yield from _value_differences("input", _input(then), _input(now))
    yield from _value_differences("output", _output(then), _output(now))


def _input(task: Task) -> dict[str, Any]:
    # A mocked sub-workflow is started from a stub; what counts is what it is given.
    is_child = task.task_type == "SUB_WORKFLOW"
    return {"workflowInput": task.input_data.get("workflowInput")} if is_child else task.input_data


def _output(task: Task) -> dict[str, Any]:
    return {name: value for name, value in task.output_data.items() if name != "subWorkflowId"}


def _end_differences(then: Workflow, now: Workflow) -> Iterator[str]:
    is_over = then.status in (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)
    if then.status != now.status and not (is_over and now.status == WorkflowStatus.RUNNING):
        yield f"the workflow was {then.status} then, is {now.status} now{_because(now.reason_for_incompletion)}"
    yield from _value_differences("output of the workflow", then.output, now.output)
    yield from _value_differences("variables", then.variables, now.variables)


def _value_differences(what: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in [*then, *(name for name in now if name not in then)]:
        if then.get(name, _NOTHING) != now.get(name, _NOTHING):
            yield f"{what} {name} was {_shown(then.get(name, _NOTHING))}, is {_shown(now.get(name, _NOTHING))}"


_NOTHING = object()


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "not there"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 1] + "…"


def _called(key: tuple[str, int]) -> str:
    ref, attempt = key
    return f"{ref} (attempt {attempt + 1})" if attempt else ref


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
