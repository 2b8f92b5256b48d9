"""The verbs that place steps: what a workflow and a branch have in common.

Each verb appends plain definition tasks, so that what Python wrote and what JSON says are the same object. This room
also deals out reference names. A branch that is written on its own cannot know the names of the workflow it will join;
when it joins, its automatic names that are taken get the next free number, except those somebody has already used in a
reference. Nothing here is sent anywhere; ``workflow`` builds on it and holds what surrounds the steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, Self, TypeAlias

import msgspec

from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem
from orchestrator.model.definitions import TaskType, WorkflowTask
from orchestrator.references import Reference, Step, case_text, duration_text, render, until_text
from orchestrator.task import Task

SWITCH_INPUT = "switchCaseValue"
"""The input under which ``switch`` keeps the value it compares (the name Conductor's own client uses)."""


class Steps:
    """A sequence of steps with fluent verbs; use it as ``Workflow`` or ``Branch``.

    Verbs return the sequence, so that sentences can be built; ``step`` returns the step it placed. Inputs are keyword
    arguments and may be values, ``${...}`` text or references; an input whose name is also an option (``ref``) goes
    into the positional mapping: ``.then(tag, {"ref": "main"})``.
    """

    def __init__(self) -> None:
        self._nodes: list[WorkflowTask] = []
        self._steps: dict[str, Step] = {}
        self._tasks: list[Task[..., Any]] = []
        self._joined = False

    # --- steps that work --------------------------------------------------------------------------------------------

    def then(
        self,
        task: Task[..., Any] | str,
        input: Mapping[str, Any] | None = None,
        /,
        *,
        ref: str | None = None,
        optional: bool = False,
        permissive: bool = False,
        retry_count: int | None = None,
        start_delay_s: int = 0,
        **inputs: Any,
    ) -> Self:
        """Place a task and go on with the sentence; everything else is said under ``step``.

        Example: ``Workflow("hello").then(greet, name="${workflow.input.name}")``
        """
        self.step(
            task,
            input,
            ref=ref,
            optional=optional,
            permissive=permissive,
            retry_count=retry_count,
            start_delay_s=start_delay_s,
            **inputs,
        )
        return self

    def step(
        self,
        task: Task[..., Any] | str,
        input: Mapping[str, Any] | None = None,
        /,
        *,
        ref: str | None = None,
        optional: bool = False,
        permissive: bool = False,
        retry_count: int | None = None,
        start_delay_s: int = 0,
        **inputs: Any,
    ) -> Step:
        """Place a task, a ``Task`` or the name of one written elsewhere, and return the step for others to refer to.

        ``ref`` is by default the task's name, then name_2, name_3. A failed ``optional`` task does not fail the
        workflow; a failed ``permissive`` one lets its parallel siblings finish first. ``retry_count`` overrides
        the task's own.
        Raises ``DefinitionInvalid`` for a reference name used twice, ``InvalidPayload`` for an input JSON cannot say.
        Example: ``charge = order.step(charge_card, amount=order.input.amount)``, then ``charge.output["id"]``
        """
        name = task if isinstance(task, str) else task.name
        node = WorkflowTask(
            name=name,
            task_reference_name=self._name_step(ref, name),
            input_parameters=_inputs(input, inputs),
            optional=optional,
            permissive=permissive,
            retry_count=retry_count,
            start_delay=start_delay_s,
        )
        if isinstance(task, Task):
            self._tasks.append(task)
        self._append(node)
        return self._steps[node.task_reference_name]

    def __getitem__(self, ref: str) -> Step:
        """The step of that reference name, wherever it is nested. Raises ``KeyError``. Example: ``order["charge"]``"""
        if ref not in self._steps:
            raise KeyError(f"no step {ref!r}; there are: {', '.join(self._steps) or 'none'}")
        return self._steps[ref]

    # --- steps that steer -------------------------------------------------------------------------------------------

    def fork(self, *branches: BranchLike, ref: str | None = None) -> Self:
        """Run branches in parallel and go on when all have ended; ``join`` right after it says otherwise.

        A branch is a ``Branch``, a task, or a list of tasks. Raises ``InvalidRequest`` for an empty branch.
        Example: ``order.fork([pick, pack], Branch().then(invoice, to=order.input.email))``
        """
        fork_ref = self._name_step(ref, "fork")
        lists = [self._adopt(branch) for branch in branches]
        if not lists or not all(lists):
            raise InvalidRequest(f"fork {fork_ref!r} needs at least one branch, and a step in each branch")
        self._append(_operator(TaskType.FORK_JOIN, fork_ref, fork_tasks=lists))
        join_ref = self._name_step(None, f"{fork_ref}_join")
        return self._append(
            _operator(TaskType.JOIN, join_ref, join_on=[tasks[-1].task_reference_name for tasks in lists])
        )

    def join(
        self, *, on: Sequence[str | Step] | None = None, ref: str | None = None, optional: bool = False, **inputs: Any
    ) -> Self:
        """Say how the fork just placed is joined: ``on`` which steps to wait for, by default the last of each branch.

        Raises ``InvalidRequest`` unless it directly follows ``fork``. Example: ``order.fork([a], [b]).join(on=["a"])``
        """
        if not self._nodes or self._nodes[-1].type != TaskType.JOIN:
            raise InvalidRequest("join() belongs directly after fork(), which already waits for the end of each branch")
        automatic = self._nodes.pop()
        join_ref = automatic.task_reference_name
        if ref is not None:
            del self._steps[join_ref]
            join_ref = self._name_step(ref, ref)
        join_on = automatic.join_on if on is None else [s.ref if isinstance(s, Step) else s for s in on]
        parameters = _inputs(None, inputs)
        return self._append(
            _operator(TaskType.JOIN, join_ref, join_on=join_on, optional=optional, input_parameters=parameters)
        )

    def switch(
        self,
        on: Reference | str,
        cases: Mapping[Any, BranchLike],
        default: BranchLike | None = None,
        *,
        ref: str | None = None,
    ) -> Self:
        """Go on with the branch whose key is the text of ``on`` (``true``, ``null`` and ``3`` are written so, too).

        Without a matching case ``default`` runs, or nothing. Raises ``InvalidRequest`` when there are no cases.
        Example: ``order.switch(order.input.kind, {"gift": [wrap], "bulk": [split, pack]}, default=[pack])``
        """
        switch_ref = self._name_step(ref, "switch")
        branches = {case_text(case): branch for case, branch in cases.items()}
        if not branches or len(branches) < len(cases):
            raise InvalidRequest(f"switch {switch_ref!r} needs at least one case, and cases that differ as text")
        if isinstance(on, str) and "${" not in on:
            raise InvalidRequest(
                f"switch {switch_ref!r} on the fixed text {on!r} always goes one way; give a reference"
            )
        return self._append(
            _operator(
                TaskType.SWITCH,
                switch_ref,
                evaluator_type="value-param",
                expression=SWITCH_INPUT,
                input_parameters={SWITCH_INPUT: render(on, SWITCH_INPUT)},
                decision_cases={case: self._adopt(branch) for case, branch in branches.items()},
                default_case=[] if default is None else self._adopt(default),
            )
        )

    def wait(
        self,
        *,
        for_s: int | timedelta | Reference | None = None,
        until: str | date | Reference | None = None,
        signal: str | None = None,
        ref: str | None = None,
    ) -> Self:
        """Pause: ``for_s`` whole seconds, ``until`` a moment, or until somebody sends ``signal``; exactly one of them.

        A ``datetime`` needs a zone; text is read as ``yyyy-MM-dd HH:mm zone``. A signal's name is the step's reference
        name unless ``ref`` is given, and the payload that arrives is the step's output. Raises ``InvalidRequest``.
        Example: ``order.wait(signal="approved").then(ship, by=order["approved"].output["user"])``
        """
        if sum(choice is not None for choice in (for_s, until, signal)) != 1:
            raise InvalidRequest("wait() takes exactly one of for_s=, until=, signal=")
        if for_s is not None:
            parameters = {"duration": duration_text(for_s)}
        elif until is not None:
            parameters = {"until": until_text(until)}
        else:
            parameters = {"signal": str(signal)}
        # A signal finds its step by name, so the name is not the builder's to renumber.
        wait_ref = self._name_step(ref or signal, "wait")
        return self._append(_operator(TaskType.WAIT, wait_ref, input_parameters=parameters))

    def set(
        self, variables: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **more_variables: Any
    ) -> Self:
        """Set workflow variables, which are read as ``order.variables.total``.

        Example: ``order.set(total=charge.output["total"])``
        """
        parameters = _inputs(variables, more_variables)
        return self._append(_operator(TaskType.SET_VARIABLE, self._name_step(ref, "set"), input_parameters=parameters))

    def terminate(
        self,
        status: Literal["COMPLETED", "FAILED", "TERMINATED"] | Reference = "COMPLETED",
        *,
        reason: str | Reference | None = None,
        output: Any = None,
        ref: str | None = None,
    ) -> Self:
        """End the workflow here with ``status``. Example: ``order.terminate("FAILED", reason="out of stock")``"""
        parameters: dict[str, Any] = {"terminationStatus": render(status)}
        if reason is not None:
            parameters["terminationReason"] = render(reason)
        if output is not None:
            parameters["workflowOutput"] = render(output, "workflowOutput")
        return self._append(
            _operator(TaskType.TERMINATE, self._name_step(ref, "terminate"), input_parameters=parameters)
        )

    def noop(self, *, ref: str | None = None) -> Self:
        """A step that does nothing, such as a place for branches to meet. Example: ``Branch().noop()``"""
        return self._append(_operator(TaskType.NOOP, self._name_step(ref, "noop")))

    # --- names and branches -----------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[Task[..., Any]]:
        """The task objects its steps use, each once, in order."""
        return list({id(task): task for task in self._tasks}.values())

    def _append(self, node: WorkflowTask) -> Self:
        self._nodes.append(node)
        return self

    def _name_step(self, ref: str | None, stem: str) -> str:
        """Reserve a reference name: the author's, or the first free one of ``stem``, ``stem_2``, ``stem_3``."""
        if self._joined:
            raise InvalidRequest("this branch is already part of a workflow; add steps before handing it over")
        if ref is None:
            name = self._free(stem)
        elif ref in self._steps:
            raise _taken(ref)
        else:
            name = ref
        self._steps[name] = Step(name, stem=stem, fixed=ref is not None)
        return name

    def _free(self, stem: str, avoid: frozenset[str] = frozenset()) -> str:
        name, number = stem, 1
        while name in self._steps or name in avoid:
            number += 1
            name = f"{stem}_{number}"
        return name

    def _adopt(self, given: BranchLike) -> list[WorkflowTask]:
        """The tasks of a branch under names that are free here; the branch is closed, its steps stay usable."""
        branch = given if isinstance(given, Branch) else _branch_of(given)
        if branch._joined:
            raise InvalidRequest("this branch is already part of a workflow; a branch can be used once")
        branch._joined = True
        fixed = frozenset(ref for ref, step in branch._steps.items() if step.is_fixed)
        renamed: dict[str, str] = {}
        for old, step in branch._steps.items():
            if old in self._steps and step.is_fixed:
                raise _taken(old)
            stem = _stem(step, renamed)
            if old in self._steps or (stem != step.stem and not step.is_fixed):
                renamed[old] = self._free(stem, avoid=fixed)
                step.renumber(renamed[old])
            self._steps[renamed.get(old, old)] = step
        self._tasks.extend(branch._tasks)
        return _with_names(branch._nodes, renamed)


class Branch(Steps):
    """Steps for a fork or a switch, written on their own.

    Example: ``order.fork(Branch().then(pick).then(pack), Branch().then(invoice))``
    """


BranchLike: TypeAlias = Branch | Task[..., Any] | str | Sequence[Task[..., Any] | str]
"""What stands for a branch: a ``Branch``, one task, or a list of tasks (objects or names)."""


def _branch_of(tasks: Task[..., Any] | str | Sequence[Task[..., Any] | str]) -> Branch:
    branch = Branch()
    for task in [tasks] if isinstance(tasks, Task | str) else tasks:
        branch.then(task)
    return branch


def _with_names(nodes: list[WorkflowTask], renamed: dict[str, str]) -> list[WorkflowTask]:
    """The same tree under new reference names; a definition task is never changed in place."""
    if not renamed:
        return list(nodes)
    return [
        msgspec.structs.replace(
            node,
            task_reference_name=renamed.get(node.task_reference_name, node.task_reference_name),
            join_on=[renamed.get(ref, ref) for ref in node.join_on],
            fork_tasks=[_with_names(branch, renamed) for branch in node.fork_tasks],
            decision_cases={case: _with_names(branch, renamed) for case, branch in node.decision_cases.items()},
            default_case=_with_names(node.default_case, renamed),
        )
        for node in nodes
    ]


def _stem(step: Step, renamed: dict[str, str]) -> str:
    fork = step.stem.removesuffix("_join")  # an automatic join keeps its fork's name when that has changed
    return f"{renamed[fork]}_join" if fork != step.stem and fork in renamed else step.stem


def _taken(ref: str) -> DefinitionInvalid:
    problem = Problem(ref, "this reference name is used twice; give one of the steps another with ref=", ref)
    return DefinitionInvalid("the workflow", [problem])


def _operator(kind: TaskType, ref: str, **fields: Any) -> WorkflowTask:
    # Named by its type, so that a registered task of the user's cannot lend its time-outs to an operator.
    return WorkflowTask(name=kind.value, task_reference_name=ref, type=kind.value, **fields)


def _inputs(given: Mapping[str, Any] | None, named: dict[str, Any]) -> dict[str, Any]:
    twice = sorted(set(given or {}) & set(named))
    if twice:
        raise InvalidRequest(f"given twice, in the mapping and by keyword: {', '.join(twice)}")
    inputs: dict[str, Any] = render({**(given or {}), **named})
    return inputs
