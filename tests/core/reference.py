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


def fanned(task: WorkflowTask) -> list[WorkflowTask]:
    """The branches of a dynamic fork whose input lists them as they are: one SIMPLE step each."""
    if task.type != "FORK_JOIN_DYNAMIC":
        return []
    found = []
    for written in task.input_parameters["tasks"]:
        ref = written["taskReferenceName"]
        step = WorkflowTask(name=ref, task_reference_name=ref, input_parameters=task.input_parameters["inputs"][ref])
        step.retry_count = written["retryCount"]
        step.optional, step.permissive = written["optional"], written["permissive"]
        found.append(step)
    return found


class Reference:
    """One walk over a definition."""

    def __init__(self, plans: Mapping[str, Plan], input: Any, variables: Mapping[str, Any]) -> None:
        self.plans = plans
        self.input = input
        self.variables = dict(variables)
        self.loop_of: dict[str, str] = {}  # the innermost loop around each step that is in one
        self.rounds: dict[str, int] = {}  # how many rounds each loop has begun, over all its runs
        self.fans: dict[str, list[str]] = {}  # the branches that the JOIN of a dynamic fork waits for
        self.hidden: set[str] = set()  # steps of dynamic branches, which no loop shows
        self.around: list[str] = []  # the loops that are being walked
        self.unlucky: set[str] = set()  # loops in whose round a permissive task has failed
        self.statuses: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        self.ends: set[str] = set()  # statuses with which a step may end the workflow before its end
        self.permissive_failed = False

    def status(self) -> str:
        """The status of the workflow if nothing ended it early."""
        return "FAILED" if self.permissive_failed else OK

    def run(self, tasks: Sequence[WorkflowTask]) -> None:
        """Run a list of steps to its end."""
        if not self.around:
            self._note_loops(tasks, None)
        for task in tasks:
            getattr(self, f"_{task.type.lower()}")(task)

    def name(self, ref: str) -> str:
        """What the task of a step is called in the round at hand."""
        loop = self.loop_of.get(ref)
        return f"{ref}__{self.rounds.get(loop, 0)}" if loop is not None else ref

    def output(self, ref: str) -> Any:
        """The output of a step's latest task."""
        return self.outputs.get(self.name(ref))

    def _note_loops(self, tasks: Sequence[WorkflowTask], loop: str | None) -> None:
        for task in tasks:
            if loop is not None:
                self.loop_of[task.task_reference_name] = loop
            branches = [branch.task_reference_name for branch in fanned(task)]
            self.hidden.update(branches)
            if task.type == "FORK_JOIN_DYNAMIC":
                self.fans[f"{task.task_reference_name}_join"] = branches
            self._note_loops(task.loop_over, task.task_reference_name)
            for inner in (*task.fork_tasks, *task.decision_cases.values(), task.default_case, fanned(task)):
                self._note_loops(inner, loop)

    def _do_while(self, task: WorkflowTask) -> None:
        ref = task.task_reference_name
        before, wanted = self.rounds.get(ref, 0), int((task.loop_condition or "").rpartition(" ")[2])
        output: dict[str, Any] = {"iteration": wanted}
        self.around.append(ref)
        for number in range(1, wanted + 1):
            self.rounds[ref] = before + number
            self.run(task.loop_over)
            body = [inner for inner, loop in self.loop_of.items() if loop == ref and inner not in self.hidden]
            output[str(number)] = {inner: self.output(inner) for inner in body if self.name(inner) in self.statuses}
            if ref in self.unlucky:
                break
        self.around.pop()
        self._end(task, OK, output)
        if ref in self.unlucky:
            self.unlucky.discard(ref)
            self.statuses[self.name(ref)] = "FAILED"
            self.ends.add("FAILED")

    def _fork_join_dynamic(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})
        self.run(fanned(task))

    def _noop(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})

    def _wait(self, task: WorkflowTask) -> None:
        self._end(task, OK, {"by": self.name(task.task_reference_name), "saw": None})

    def _simple(self, task: WorkflowTask) -> None:
        plan = self.plans[task.task_reference_name]
        if plan.for_good or plan.failures > (task.retry_count or 0):
            self._fail(task)
        else:
            self._end(task, OK, {"by": self.name(task.task_reference_name), "saw": self._rendered(task)})

    def _fail(self, task: WorkflowTask) -> None:
        if task.optional:
            self._end(task, WITH_ERRORS, {})
            return
        self._end(task, "FAILED", {})
        if task.permissive:
            self.permissive_failed = True
            self.unlucky.update(self.around[-1:])
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
        on = self.fans.get(task.task_reference_name, task.join_on)
        members = [name for name in map(self.name, on) if name in self.statuses]
        statuses = {self.statuses[ref] for ref in members}
        name = self.name(task.task_reference_name)
        self.outputs[name] = {ref: self.outputs[ref] for ref in members if self.outputs[ref]}
        if "FAILED" in statuses:
            self.statuses[name] = "FAILED"
            self.ends.add("FAILED")
        else:
            self.statuses[name] = WITH_ERRORS if WITH_ERRORS in statuses else OK

    def _end(self, task: WorkflowTask, status: str, output: Any) -> None:
        name = self.name(task.task_reference_name)
        self.statuses[name] = status
        self.outputs[name] = output

    def _rendered(self, task: WorkflowTask) -> Any:
        return {name: self._read(value) for name, value in task.input_parameters.items()}

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("${"):
            return value
        root, *path = value[2:-1].split(".")
        found: Any = {"workflow": {"input": self.input, "variables": self.variables}}
        if self.name(root) in self.statuses:
            found[root] = {"output": self.output(root), "status": self.statuses[self.name(root)]}
        for name in (root, *path):
            found = found.get(name) if isinstance(found, dict) else None
        return found
