"""What a workflow must come to, told the slow and obvious way: a recursive walk that knows nothing of events.

It runs one branch after the other, without counters, agendas or retries in time. Where a real run may end early (a task
fails for good), it notes the status the end would have and walks on, so that whatever a real run did complete can be
compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.model.definitions import WorkflowTask

OK = "COMPLETED"
WITH_ERRORS = "COMPLETED_WITH_ERRORS"


class Plan(NamedTuple):
    """How the attempts of a task end: so many failures, then success unless ``for_good``."""

    failures: int
    for_good: bool = False


class Reference:
    """One walk over a definition."""

    def __init__(self, plans: Mapping[str, Plan], input: Any, variables: Mapping[str, Any]) -> None:
        self.plans = plans
        self.input = input
        self.variables = dict(variables)
        self.statuses: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        self.ends: set[str] = set()  # statuses with which a step may end the workflow before its end
        self.permissive_failed = False

    def status(self) -> str:
        """The status of the workflow if nothing ended it early."""
        return "FAILED" if self.permissive_failed else OK

    def run(self, tasks: Sequence[WorkflowTask]) -> None:
        """Run a list of steps to its end."""
        for task in tasks:
            getattr(self, f"_{task.type.lower()}")(task)

    def _noop(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})

    def _wait(self, task: WorkflowTask) -> None:
        self._end(task, OK, {"by": task.task_reference_name, "saw": None})

    def _simple(self, task: WorkflowTask) -> None:
        plan = self.plans[task.task_reference_name]
        if plan.for_good or plan.failures > (task.retry_count or 0):
            self._fail(task)
        else:
            self._end(task, OK, {"by": task.task_reference_name, "saw": self._rendered(task)})

    def _fail(self, task: WorkflowTask) -> None:
        if task.optional:
            self._end(task, WITH_ERRORS, {})
            return
        self._end(task, "FAILED", {})
        if task.permissive:
            self.permissive_failed = True
        else:
            self.ends.add("FAILED")

    def _set_variable(self, task: WorkflowTask) -> None:
        self.variables.update(self._rendered(task))
        self._end(task, OK, {})

    def _terminate(self, task: WorkflowTask) -> None:
        self.ends.add(task.input_parameters["terminationStatus"])
        self._end(task, OK, {})

    def _switch(self, task: WorkflowTask) -> None:
        label = str(self._rendered(task)["value"])
        self._end(task, OK, {"evaluationResult": [label], "selectedCase": label})
        self.run(task.decision_cases.get(label, task.default_case))

    def _fork_join(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})
        for branch in task.fork_tasks:
            self.run(branch)

    def _join(self, task: WorkflowTask) -> None:
        members = [ref for ref in task.join_on if ref in self.statuses]
        statuses = {self.statuses[ref] for ref in members}
        self.outputs[task.task_reference_name] = {ref: self.outputs[ref] for ref in members if self.outputs[ref]}
        if "FAILED" in statuses:
            self.statuses[task.task_reference_name] = "FAILED"
            self.ends.add("FAILED")
        else:
            self.statuses[task.task_reference_name] = WITH_ERRORS if WITH_ERRORS in statuses else OK

    def _end(self, task: WorkflowTask, status: str, output: Any) -> None:
        self.statuses[task.task_reference_name] = status
        self.outputs[task.task_reference_name] = output

    def _rendered(self, task: WorkflowTask) -> Any:
        return {name: self._read(value) for name, value in task.input_parameters.items()}

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("${"):
            return value
        root, *path = value[2:-1].split(".")
        found: Any = {"workflow": {"input": self.input, "variables": self.variables}}
        found.update({ref: {"output": self.outputs[ref], "status": self.statuses[ref]} for ref in self.statuses})
        for name in (root, *path):
            found = found.get(name) if isinstance(found, dict) else None
        return found
