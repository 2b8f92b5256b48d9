"""What a workflow must come to, told the slow and obvious way: a recursive walk that knows nothing of events.

It runs one branch after the other, without counters, agendas or retries in time. Where a real run may end early (a task
fails for good), it notes the status the end would have and walks on, so that whatever a real run did complete can be
compared with it. Scripts are looked up by their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.wire import workflow_task_from_dict

OK = "COMPLETED"
WITH_ERRORS = "COMPLETED_WITH_ERRORS"
FOR_GOOD = "FAILED_WITH_TERMINAL_ERROR"

SCRIPTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "$.value": lambda given: given["value"],
    "'<' + $.value + '>'": lambda given: f"<{given['value']}>" if isinstance(given["value"], str) else "<?>",
    "$.round < 2": lambda given: given["round"] < 2,
    "true": lambda given: True,
    "false": lambda given: False,
    "3.0": lambda given: 3.0,
}
CHILD = "the child"
"""Stands for the id of any sub-workflow."""

BROKEN = "throw 1"
"""The script that fails."""


class Plan(NamedTuple):
    """How the attempts of a task end: so many failures, then success unless ``for_good``."""

    failures: int
    for_good: bool = False


class Reference:
    """One walk over a definition. Statuses and outputs are by execution reference, ``name__2`` in a loop."""

    def __init__(self, plans: Mapping[str, Plan], input: Any, variables: Mapping[str, Any]) -> None:
        self.plans = plans
        self.input = input
        self.variables = dict(variables)
        self.statuses: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        self.ends: set[str] = set()  # statuses with which a step may end the workflow before its end
        self.permissive_failed = False
        self.latest: dict[str, str] = {}  # the newest task of each step
        self._rounds: dict[str, int] = {}  # of each loop so far, over all times it was reached
        self._suffix = ""
        self._failed_in_round = False

    def status(self) -> str:
        """The status of the workflow if nothing ended it early."""
        return "FAILED" if self.permissive_failed else OK

    def output_of(self, ref: str) -> Any:
        """The output of a step's newest task; None when it never ran."""
        return self.outputs[self.latest[ref]] if ref in self.latest else None

    def run(self, tasks: Sequence[WorkflowTask]) -> None:
        """Run a list of steps to its end."""
        for task in tasks:
            getattr(self, f"_{task.type.lower()}")(task)

    # --- what ends at once, or when somebody outside says so ------------------------------------------------------------

    def _noop(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})

    def _wait(self, task: WorkflowTask) -> None:
        self._end(task, OK, {"by": self._name(task), "saw": None})

    _human = _wait

    def _simple(self, task: WorkflowTask) -> None:
        plan = self.plans[task.task_reference_name]
        is_child = task.type == "SUB_WORKFLOW"
        child = {"subWorkflowId": CHILD} if is_child else {}
        if plan.for_good or plan.failures > (task.retry_count or 0):
            self._fail(task, FOR_GOOD if plan.for_good else "FAILED", child)
        else:
            saw = None if is_child else self._rendered(task)
            self._end(task, OK, {**child, "by": self._name(task), "saw": saw})

    _dynamic = _sub_workflow = _simple

    def _fail(self, task: WorkflowTask, status: str, output: Any = None) -> None:
        if task.optional:
            self._end(task, WITH_ERRORS, output or {})
            return
        self._end(task, status, output or {})
        if task.permissive:
            self.permissive_failed = self._failed_in_round = True
        else:
            self.ends.add("FAILED")

    def _set_variable(self, task: WorkflowTask) -> None:
        self.variables.update(self._rendered(task))
        self._end(task, OK, {})

    def _terminate(self, task: WorkflowTask) -> None:
        self.ends.add(task.input_parameters["terminationStatus"])
        self._end(task, OK, {})

    # --- scripts and choices ---------------------------------------------------------------------------------------------

    def _inline(self, task: WorkflowTask) -> None:
        given = self._rendered(task)
        if given["expression"] == BROKEN:
            self._fail(task, FOR_GOOD, {"error": BROKEN})
        elif given.get("evaluatorType") == "value-param":
            self._end(task, OK, {"result": given.get(given["expression"])})
        else:
            self._end(task, OK, {"result": SCRIPTS[given["expression"]](given)})

    def _switch(self, task: WorkflowTask) -> None:
        script = task.expression or ""
        given = self._rendered(task)
        if script == BROKEN:
            self._fail(task, "FAILED")
            return
        value = given.get(script) if task.evaluator_type == "value-param" else SCRIPTS[script](given)
        label = _label(value)
        self._end(task, OK, {"evaluationResult": [label], "selectedCase": label})
        self.run(task.decision_cases.get(label, task.default_case))

    def _decision(self, task: WorkflowTask) -> None:
        given = self._rendered(task)
        if task.case_expression == BROKEN:
            self._end(task, "FAILED", {})
            self.ends.add("FAILED")  # whatever its flags
            return
        value = SCRIPTS[task.case_expression](given) if task.case_expression else given.get(task.case_value_param)
        label = _label(value)
        self._end(task, OK, {"caseOutput": [label]})
        self.run(task.decision_cases.get(label) or task.default_case)

    # --- forks, joins, loops ---------------------------------------------------------------------------------------------

    def _fork_join(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})
        for branch in task.fork_tasks:
            self.run(branch)

    def _fork_join_dynamic(self, task: WorkflowTask) -> None:
        self._end(task, OK, {})
        self._branches = [workflow_task_from_dict(branch) for branch in task.input_parameters["tasks"]]
        for branch in self._branches:
            branch.input_parameters = task.input_parameters["inputs"][branch.task_reference_name]
        self.run(self._branches)

    def _join(self, task: WorkflowTask) -> None:
        names = task.join_on or [branch.task_reference_name for branch in self._branches]
        members = [f"{name}{self._suffix}" for name in names]
        members = [member for member in members if member in self.statuses]
        statuses = {self.statuses[member] for member in members}
        self.outputs[self._name(task)] = {member: self.outputs[member] for member in members if self.outputs[member]}
        self.latest[task.task_reference_name] = self._name(task)
        if statuses & {"FAILED", FOR_GOOD}:
            self.statuses[self._name(task)] = "FAILED"
            self.ends.add("FAILED")
        else:
            self.statuses[self._name(task)] = WITH_ERRORS if WITH_ERRORS in statuses else OK

    def _exclusive_join(self, task: WorkflowTask) -> None:
        members = [f"{name}{self._suffix}" for name in (*task.join_on, *task.default_exclusive_join_task)]
        chosen = next((member for member in members if member in self.statuses), None)
        if chosen is not None and self.statuses[chosen] not in (OK, WITH_ERRORS):
            self._fail(task, "FAILED")
        else:
            self._end(task, OK, self.outputs[chosen] if chosen is not None else {})

    def _do_while(self, task: WorkflowTask) -> None:
        ref, outside, own = task.task_reference_name, self._suffix, self._name(task)
        self.latest[ref] = own
        items = task.input_parameters.get("_items")
        shown: dict[str, Any] = {"iteration": 0}
        done = 0
        while items is None or done < len(items):
            done += 1
            self._rounds[ref] = self._rounds.get(ref, 0) + 1
            self._suffix, before = f"__{self._rounds[ref]}", self._failed_in_round
            self._failed_in_round = False
            self.outputs[own] = {"iteration": done}
            self.run(task.loop_over)
            shown["iteration"] = done
            shown[str(done)] = self._round(task.loop_over)
            if items is not None:
                shown |= {"loopIndex": done - 1, "loopItem": items[done - 1]}
            failed, self._failed_in_round = self._failed_in_round, before
            if failed:
                self._suffix = outside
                self._fail(task, "FAILED", shown)
                return
            if items is None and not self._goes_on(task, done):
                break
        self._suffix = outside
        self._end(task, OK, shown)

    def _round(self, tasks: Sequence[WorkflowTask]) -> dict[str, Any]:
        """The outputs of a round by step; what dynamic branches and inner loops hold is not among them."""
        found: dict[str, Any] = {}
        for task in tasks:
            if self._name(task) in self.statuses:
                found[task.task_reference_name] = self.outputs[self._name(task)]
            for inner in (*task.fork_tasks, *task.decision_cases.values(), task.default_case):
                found |= self._round(inner)
        return found

    def _goes_on(self, task: WorkflowTask, done: int) -> bool:
        condition = task.loop_condition or ""
        return done < int(condition.rpartition(" ")[2])

    # --- bookkeeping -----------------------------------------------------------------------------------------------------

    def _name(self, task: WorkflowTask) -> str:
        return f"{task.task_reference_name}{self._suffix}"

    def _end(self, task: WorkflowTask, status: str, output: Any) -> None:
        name = self._name(task)
        self.statuses[name] = status
        self.outputs[name] = output
        self.latest[task.task_reference_name] = name

    def _rendered(self, task: WorkflowTask) -> Any:
        return {name: self._read(value) for name, value in task.input_parameters.items()}

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("${"):
            return value
        root, *path = value[2:-1].split(".")
        found: Any = {"workflow": {"input": self.input, "variables": self.variables}}
        if root in self.latest:
            name = self.latest[root]
            found[root] = {"output": self.outputs[name], "status": self.statuses.get(name)}
        for part in (root, *path):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def _label(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) else str(value)
