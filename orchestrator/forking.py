"""The verbs for things at the same time: fixed branches, branches made while it runs, and how they meet again.

Part of ``Steps``. A fork always brings its JOIN, because a fork without one is not a workflow; ``join`` right after it
says how that JOIN differs from "wait for the end of every branch".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import JoinMode, TaskType, is_built_in
from orchestrator.placing import Placing, inputs_of, operator
from orchestrator.references import Reference, Step, render
from orchestrator.step_options import Script
from orchestrator.task import Task

if TYPE_CHECKING:
    from orchestrator.steps import BranchLike
    from orchestrator.workflow import Workflow

_TASKS_INPUT, _INPUTS_INPUT = "dynamicTasks", "dynamicTasksInput"
"""The inputs under which ``dynamic_fork`` keeps what it was given (the names that Conductor's examples use)."""


class Forking(Placing):
    """Branches in parallel; see ``Steps``."""

    def fork(self, *branches: BranchLike, ref: str | None = None) -> Self:
        """Run branches in parallel and go on when all have ended; ``join`` right after it says otherwise.

        A branch is a ``Branch``, a task, or a list of tasks. Raises ``InvalidRequest`` for an empty branch.
        Example: ``order.fork([pick, pack], Branch().then(invoice, to=order.input.email))``
        """
        fork_ref = self._name_step(ref, "fork")
        lists = [self._adopt(branch) for branch in branches]
        if not lists or not all(lists):
            raise InvalidRequest(f"fork {fork_ref!r} needs at least one branch, and a step in each branch")
        self._append(operator(TaskType.FORK_JOIN, fork_ref, fork_tasks=lists))
        join_ref = self._name_step(None, f"{fork_ref}_join")
        return self._append(
            operator(TaskType.JOIN, join_ref, join_on=[tasks[-1].task_reference_name for tasks in lists])
        )

    def join(
        self,
        *,
        on: Sequence[str | Step] | None = None,
        ref: str | None = None,
        optional: bool = False,
        script: Script | None = None,
        status: str | None = None,
        mode: JoinMode | None = None,
        **inputs: Any,
    ) -> Self:
        """Say how the fork just placed is joined: ``on`` which steps to wait for, by default the last of each branch.

        ``script`` decides at each end of a branch whether and how the JOIN ends; ``status`` is the status that the
        branches must reach; ``mode`` is kept for Conductor. Raises ``InvalidRequest`` unless it directly follows a
        fork. Example: ``order.fork([a], [b]).join(on=["a"])``
        """
        if not self._nodes or self._nodes[-1].type != TaskType.JOIN:
            raise InvalidRequest("join() belongs directly after fork(), which already waits for the end of each branch")
        automatic = self._nodes.pop()
        join_ref = automatic.task_reference_name
        if ref is not None:
            del self._steps[join_ref]
            join_ref = self._name_step(ref, ref)
        join_on = automatic.join_on if on is None else [_ref(step) for step in on]
        return self._append(
            operator(
                TaskType.JOIN,
                join_ref,
                join_on=join_on,
                optional=optional,
                join_status=status,
                join_mode=mode,
                evaluator_type=script.language if script else None,
                expression=script.text if script else None,
                input_parameters=inputs_of(script.parameters() if script else None, inputs),
            )
        )

    def dynamic_fork(
        self,
        tasks: Reference | str | Sequence[Mapping[str, Any]],
        inputs: Reference | str | Mapping[str, Any] | None = None,
        *,
        ref: str | None = None,
    ) -> Self:
        """Run the steps that a list names when the flow gets here, in parallel, and go on when all have ended.

        ``tasks`` holds definition tasks as JSON, each with its reference name; ``inputs`` maps reference names to
        inputs. Without ``inputs`` each element names task and input itself, in Conductor's older form
        (``{"taskName", "referenceName", "input"}``). Example: ``order.dynamic_fork(plan.output.tasks, plan.output.inputs)``
        """
        fork_ref = self._name_step(ref, "dynamic_fork")
        if inputs is None:
            fields: dict[str, Any] = {
                "dynamic_fork_join_tasks_param": _TASKS_INPUT,
                "input_parameters": {_TASKS_INPUT: {"dynamicTasks": render(tasks, "tasks")}},
            }
        else:
            fields = {
                "dynamic_fork_tasks_param": _TASKS_INPUT,
                "dynamic_fork_tasks_input_param_name": _INPUTS_INPUT,
                "input_parameters": {_TASKS_INPUT: render(tasks, "tasks"), _INPUTS_INPUT: render(inputs, "inputs")},
            }
        return self._forked(fork_ref, fields)

    def fork_each(
        self,
        run: Task[..., Any] | Workflow | str,
        over: Reference | str | Sequence[Any],
        *,
        ref: str | None = None,
    ) -> Self:
        """Run one task, or one workflow, for every element of a list, in parallel, and go on when all have ended.

        ``run`` is a task, its name, a system task's type (``"HTTP"``), or a ``Workflow``. An element that is a map is
        the input; any other is the input ``input``. Example: ``order.fork_each(ship, over=order.input.parcels)``
        """
        fork_ref = self._name_step(ref, "fork_each")
        parameters: dict[str, Any] = {"forkTaskInputs": render(over, "over")}
        if isinstance(run, Task):
            self._tasks.append(run)
            parameters["forkTaskName"] = run.name
        elif not isinstance(run, str):
            parameters.update(forkTaskWorkflow=run.name, forkTaskWorkflowVersion=str(run.version))
        else:
            parameters["forkTaskType" if is_built_in(run) else "forkTaskName"] = run
        return self._forked(fork_ref, {"input_parameters": parameters})

    def exclusive_join(
        self, on: Sequence[str | Step], default: Sequence[str | Step] = (), *, ref: str | None = None
    ) -> Self:
        """Take over the output of the first step of ``on`` that was reached, else of ``default``.

        Example: ``order.switch(...).exclusive_join(on=["wrap", "pack"])``
        """
        if not on:
            raise InvalidRequest("exclusive_join() needs at least one step to wait for")
        return self._append(
            operator(
                TaskType.EXCLUSIVE_JOIN,
                self._name_step(ref, "exclusive_join"),
                join_on=[_ref(step) for step in on],
                default_exclusive_join_task=[_ref(step) for step in default],
            )
        )

    def _forked(self, fork_ref: str, fields: dict[str, Any]) -> Self:
        self._append(operator(TaskType.FORK_JOIN_DYNAMIC, fork_ref, **fields))
        return self._append(operator(TaskType.JOIN, self._name_step(None, f"{fork_ref}_join")))


def _ref(step: str | Step) -> str:
    return step.ref if isinstance(step, Step) else step
