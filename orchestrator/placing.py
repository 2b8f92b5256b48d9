"""Placing steps: worker tasks, definition tasks as JSON has them, reference names, branches that join.

Each verb appends plain definition tasks, so that what Python wrote and what JSON says are the same object. This room
also deals out reference names. A branch that is written on its own cannot know the names of the workflow it will join;
when it joins, its automatic names that are taken get the next free number, except those somebody has already used in a
reference. ``steering`` and ``serving`` add the verbs of the operators and system tasks. Nothing here is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec

from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem
from orchestrator.model.definitions import TaskDef, TaskType, WorkflowDef, WorkflowTask, walk
from orchestrator.model.wire_read import read_struct
from orchestrator.references import Step, render
from orchestrator.step_options import Cache, StepOptions
from orchestrator.task import RetryPolicy, Task

if TYPE_CHECKING:
    from orchestrator.steps import BranchLike

_NO_OPTIONS = StepOptions()


class Placing:
    """A sequence of steps: what ``Workflow`` and ``Branch`` have in common before any operator.

    Verbs return the sequence, so that sentences can be built; ``step`` returns the step it placed. Inputs are keyword
    arguments and may be values, ``${...}`` text or references; an input whose name is also an option (``ref``) goes
    into the positional mapping: ``.then(tag, {"ref": "main"})``.
    """

    _is_branch = True

    def __init__(self) -> None:
        self._options = _NO_OPTIONS
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
            input_parameters=inputs_of(input, inputs),
            optional=optional,
            permissive=permissive,
            retry_count=retry_count,
            start_delay=start_delay_s,
        )
        if isinstance(task, Task):
            self._tasks.append(task)
        self._append(node)
        return self._steps[node.task_reference_name]

    def place(self, task: WorkflowTask | Mapping[str, Any]) -> Self:
        """Place a step as a definition says it, for what has no verb: a worker's own type, DECISION, LAMBDA.

        ``task`` is a ``WorkflowTask`` or Conductor's JSON object; the steps it holds are part of it. Raises
        ``DefinitionInvalid`` for JSON that is none and for a reference name used twice.
        Example: ``order.place({"name": "resize", "taskReferenceName": "small", "type": "RESIZE"})``
        """
        node = task if isinstance(task, WorkflowTask) else _task_of(task)
        for _, inner in walk(WorkflowDef(name="", tasks=[node])):
            self._name_step(inner.task_reference_name, inner.task_reference_name)
        return self._append(node)

    def with_options(
        self,
        *,
        task_name: str | None = None,
        optional: bool | None = None,
        permissive: bool | None = None,
        retry: RetryPolicy | int | None = None,
        start_delay_s: int | None = None,
        cache: Cache | None = None,
        on_state_change: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        async_complete: bool | None = None,
        task_definition: TaskDef | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Options of the step that the next verb places, whichever that is.

        A failed ``optional`` step does not fail the workflow, a failed ``permissive`` one lets its siblings finish.
        ``retry`` is how often, or a whole policy; ``start_delay_s`` whole seconds before it starts; ``cache`` reuses an
        earlier output. ``on_state_change`` maps states (``onSuccess``) to the events to publish; ``async_complete``
        leaves the step open once its work is sent. ``task_name`` selects the registered task definition,
        ``task_definition`` stands in for it.
        Example: ``order.with_options(retry=RetryPolicy(limit=5), optional=True).http("https://rates.example.org")``
        """
        self._require_used()
        self._options = StepOptions(
            task_name=task_name,
            optional=optional,
            permissive=permissive,
            retry=retry,
            start_delay_s=start_delay_s,
            cache=cache,
            on_state_change=on_state_change,
            async_complete=async_complete,
            task_definition=task_definition,
            description=description,
            metadata=metadata,
        )
        return self

    def __getitem__(self, ref: str) -> Step:
        """The step of that reference name, wherever it is nested. Raises ``KeyError``. Example: ``order["charge"]``"""
        if ref not in self._steps:
            raise KeyError(f"no step {ref!r}; there are: {', '.join(self._steps) or 'none'}")
        return self._steps[ref]

    # --- names and branches -----------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[Task[..., Any]]:
        """The task objects its steps use, each once, in order."""
        return list({id(task): task for task in self._tasks}.values())

    def _append(self, node: WorkflowTask) -> Self:
        options, self._options = self._options, _NO_OPTIONS
        self._nodes.append(options.on(node))
        return self

    def _require_used(self) -> None:
        if self._options is not _NO_OPTIONS:
            raise InvalidRequest("with_options() belongs directly before the verb that places the step they are for")

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
        branch = given if isinstance(given, Placing) else _branch_of(given)
        if not branch._is_branch:
            raise InvalidRequest("a workflow is no branch of another one; run it there with sub_workflow()")
        branch._require_used()
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


def _branch_of(tasks: Task[..., Any] | str | Sequence[Task[..., Any] | str]) -> Placing:
    branch = Placing()
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
            loop_over=_with_names(node.loop_over, renamed),
            default_exclusive_join_task=[renamed.get(ref, ref) for ref in node.default_exclusive_join_task],
        )
        for node in nodes
    ]


def _stem(step: Step, renamed: dict[str, str]) -> str:
    fork = step.stem.removesuffix("_join")  # an automatic join keeps its fork's name when that has changed
    return f"{renamed[fork]}_join" if fork != step.stem and fork in renamed else step.stem


def _taken(ref: str) -> DefinitionInvalid:
    problem = Problem(ref, "this reference name is used twice; give one of the steps another with ref=", ref)
    return DefinitionInvalid("the workflow", [problem])


def _task_of(data: Mapping[str, Any]) -> WorkflowTask:
    node, problems = read_struct(WorkflowTask, dict(data))
    if problems:
        raise DefinitionInvalid("the step", problems)
    return node


def operator(kind: TaskType, ref: str, **fields: Any) -> WorkflowTask:
    """The definition task of a built-in type. Example: ``operator(TaskType.NOOP, "here")``"""
    # Named by its type, so that a registered task of the user's cannot lend its time-outs to an operator.
    return WorkflowTask(name=kind.value, task_reference_name=ref, type=kind.value, **fields)


def inputs_of(given: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """A verb's inputs as JSON. Raises ``InvalidRequest`` for one that is given twice."""
    twice = sorted(set(given or {}) & set(named))
    if twice:
        raise InvalidRequest(f"given twice, in the mapping and by keyword: {', '.join(twice)}")
    inputs: dict[str, Any] = render({**(given or {}), **named})
    return inputs
