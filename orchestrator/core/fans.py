"""What a dynamic fork's input says: the three forms in which its branches can be listed, read one branch at a time.

In order of precedence (Conductor: ForkJoinDynamicTaskMapper): ``forkTaskInputs``, one input per branch of the same
task or workflow; ``dynamicForkTasksParam``, a list of steps with their inputs by reference; ``dynamicForkJoinTasksParam``,
a list of tasks to be named and given input. Inputs of branches are data: what looks like an expression in them stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.model.definitions import is_built_in, is_worker_task
from orchestrator.model.records import Step

if TYPE_CHECKING:
    from orchestrator.core.program import Node
    from orchestrator.model.definitions import WorkflowTask

SHOWN_CHARS_MAX = 500

Written = dict[str, Any]

_FIELDS: dict[str, type] = {"optional": bool, "permissive": bool, "retryCount": int, "startDelay": int}
"""Fields of a step that an element of ``forkTaskInputs`` may carry along with its inputs."""


class FanInvalid(Exception):
    """The branches cannot be read; the message says why."""


class Fan:
    """The branches of one dynamic fork: how they are called, and what each is, when it is asked for."""

    def __init__(self, refs: list[str]) -> None:
        self.refs = refs

    def branch(self, position: int) -> tuple[Written, Written]:
        """The JSON form of a branch's step, and the inputs that lie over its own. Raises ``FanInvalid``."""
        raise NotImplementedError

    def step(self, position: int, fork: Node, join: Node) -> Step:
        """What is kept with the first task of a branch. Raises ``FanInvalid``, ``InvalidPayload``."""
        task, given = self.branch(position)
        return Step(Raw(pack(task)), Raw(pack(given)), fork.ref, join.ref, fork.loop)


def read_fan(task: WorkflowTask, given: Written, prefix: str, refs: list[str] | None = None) -> Fan:
    """The branches that a fork's rendered input lists; ``prefix`` begins the names of those that bring none.

    ``refs`` are the names of all, of an input that was read before: they are then not read once more.
    Raises ``FanInvalid``. Example: ``read_fan(task, {"forkTaskInputs": [1, 2]}, "_").refs``
    """
    if isinstance(given.get("forkTaskInputs"), list):
        return _Uniform(task, given, prefix, refs)
    if task.dynamic_fork_tasks_param:
        return _Steps(task, given, refs)
    if task.dynamic_fork_join_tasks_param:
        return _Named(task, given, refs)
    raise FanInvalid(f"forkTaskInputs must be a list, not {_shown(given.get('forkTaskInputs'))}")


class _Uniform(Fan):
    """``forkTaskInputs``: the same task, or the same workflow, once for every element."""

    def __init__(self, task: WorkflowTask, given: Written, prefix: str, refs: list[str] | None) -> None:
        self._inputs: list[Any] = given["forkTaskInputs"]
        self._optional = task.optional
        workflow, kind = given.get("forkTaskWorkflow"), given.get("forkTaskType") or "SIMPLE"
        name = given.get("forkTaskName")
        if not name:
            is_named_by_type = not workflow and is_built_in(str(kind)) and not is_worker_task(str(kind))
            name = kind if is_named_by_type else task.task_reference_name
        for field, value in (("forkTaskName", name), ("forkTaskType", kind), ("forkTaskWorkflow", workflow or "")):
            if not isinstance(value, str):
                raise FanInvalid(f"{field} must be text, not {_shown(value)}")
        self._task: Written = {"name": name, "type": kind}
        if workflow:
            self._task["type"] = "SUB_WORKFLOW"
            self._params = {"name": workflow, "version": given.get("forkTaskWorkflowVersion")}
        super().__init__(refs or [f"{prefix}{name}_{index}" for index in range(len(self._inputs))])

    def branch(self, position: int) -> tuple[Written, Written]:
        element = self._inputs[position]
        inputs = dict(element) if isinstance(element, dict) else {"input": element}
        fields = {key: inputs.pop(key) for key, kind in _FIELDS.items() if type(inputs.get(key)) is kind}
        task = {**self._task, **fields, "taskReferenceName": self.refs[position]}
        task["optional"] = self._optional or fields.get("optional", False)
        if task["type"] == "SUB_WORKFLOW":
            domains = inputs.get("taskToDomain")
            task["subWorkflowParam"] = {**self._params, "taskToDomain": domains if isinstance(domains, dict) else None}
        return task, {**inputs, "__index": position}


class _Steps(Fan):
    """``dynamicForkTasksParam``: steps in their JSON form, and a map of their inputs by reference."""

    def __init__(self, task: WorkflowTask, given: Written, refs: list[str] | None) -> None:
        param = task.dynamic_fork_tasks_param or ""
        tasks, self._inputs = given.get(param), given.get(task.dynamic_fork_tasks_input_param_name or "")
        invalid = f"Input '{param}' is invalid. Cannot deserialize a list of Workflow Tasks from "
        if not isinstance(tasks, list):
            raise FanInvalid(f"{invalid}'{_shown(tasks)}'")
        self._tasks = tasks
        if not isinstance(self._inputs, dict):
            raise FanInvalid(
                "Input to the dynamically forked tasks is not a map -> expecting a map of K,V  but found "
                f"{_shown(self._inputs)}"
            )
        super().__init__(refs or self._names(invalid))

    def _names(self, invalid: str) -> list[str]:
        refs: list[Any] = [one.get("taskReferenceName") if isinstance(one, dict) else None for one in self._tasks]
        for index, ref in enumerate(refs):
            if not isinstance(ref, str) or not ref:
                raise FanInvalid(f"{invalid}'{_shown(self._tasks[index])}' at [{index}]: it has no taskReferenceName")
        return refs

    def branch(self, position: int) -> tuple[Written, Written]:
        task: Written = self._tasks[position]
        given = self._inputs.get(self.refs[position]) if isinstance(self._inputs, dict) else None
        if given is None:
            given = {}
        if not isinstance(given, dict):
            raise FanInvalid(
                f"Tasks could not be dynamically forked due to invalid input: {_shown(given)} is not a map"
            )
        return task, given


class _Named(Fan):
    """``dynamicForkJoinTasksParam``: ``{"dynamicTasks": [{"taskName", "referenceName", "input", "type"}]}``."""

    def __init__(self, task: WorkflowTask, given: Written, refs: list[str] | None) -> None:
        param = task.dynamic_fork_join_tasks_param
        found = given.get(param or "")
        tasks = found.get("dynamicTasks") if isinstance(found, dict) else None
        if not isinstance(tasks, list):
            raise FanInvalid(
                f"Dynamic tasks could not be created. The value of {param} from task's input {_shown(given)} "
                "has no dynamic tasks to be scheduled"
            )
        self._tasks = tasks
        super().__init__(refs or self._names())

    def _names(self) -> list[str]:
        refs: list[Any] = [one.get("referenceName") if isinstance(one, dict) else None for one in self._tasks]
        for index, ref in enumerate(refs):
            if not isinstance(ref, str) or not ref:
                raise FanInvalid(f"dynamicTasks[{index}] has no referenceName: {_shown(self._tasks[index])}")
        return refs

    def branch(self, position: int) -> tuple[Written, Written]:
        one: Written = self._tasks[position]
        kind, workflow = one.get("type") or "SIMPLE", one.get("workflowName")
        name = one.get("taskName") or workflow or one["referenceName"]
        task: Written = {"name": name, "taskReferenceName": one["referenceName"], "type": kind}
        if kind == "SUB_WORKFLOW":
            task["subWorkflowParam"] = {"name": workflow or name}
        given = one.get("input")
        if given is not None and not isinstance(given, dict):
            raise FanInvalid(f"the input of {one['referenceName']} is not a map: {_shown(given)}")
        return task, given or {}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:SHOWN_CHARS_MAX]
