"""The verbs that steer: ways to choose, repeat, call other workflows, wait and end.

Part of ``Steps``. Every verb writes one definition task; what it means when the workflow runs is the core's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

from orchestrator.errors import InvalidRequest
from orchestrator.forking import Forking
from orchestrator.model.definitions import IdempotencyStrategy, SubWorkflowParams, TaskType, WorkflowDef
from orchestrator.placing import inputs_of, operator
from orchestrator.references import Reference, case_text, duration_text, render, until_text
from orchestrator.step_options import Script, script_of

if TYPE_CHECKING:
    from orchestrator.steps import BranchLike
    from orchestrator.workflow import Workflow

SWITCH_INPUT = "switchCaseValue"
"""The input under which ``switch`` keeps the value it compares (the name Conductor's own client uses)."""

_DYNAMIC_INPUT = "taskToExecute"


@dataclass(frozen=True)
class Turn:
    """One turn of a loop, as its body sees it: the element (``for_each``), its index from 0, the turn from 1."""

    item: Reference
    index: Reference
    number: Reference


class Steering(Forking):
    """Choices, loops, other workflows, waiting and ending; see ``Steps``."""

    def switch(
        self,
        on: Reference | Script | str,
        cases: Mapping[Any, BranchLike],
        default: BranchLike | None = None,
        *,
        ref: str | None = None,
    ) -> Self:
        """Go on with the branch whose key is the text of ``on`` (``true``, ``null`` and ``3`` are written so, too).

        ``on`` may be a ``Script``, whose result is compared. Without a matching case ``default`` runs, or nothing.
        Raises ``InvalidRequest`` when there are no cases.
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
        if isinstance(on, Script):
            evaluator, expression, parameters = str(on.language), on.text, on.parameters()
        else:
            evaluator, expression, parameters = "value-param", SWITCH_INPUT, {SWITCH_INPUT: render(on, SWITCH_INPUT)}
        return self._append(
            operator(
                TaskType.SWITCH,
                switch_ref,
                evaluator_type=evaluator,
                expression=expression,
                input_parameters=parameters,
                decision_cases={case: self._adopt(branch) for case, branch in branches.items()},
                default_case=[] if default is None else self._adopt(default),
            )
        )

    def loop(
        self, body: LoopBody, *, while_: Script | str, keep_last: int | None = None, ref: str | None = None
    ) -> Self:
        """Run ``body``, and again as long as ``while_`` is true afterwards.

        The script reads the loop and the steps of its body by name (``$.again.iteration``, ``$.poll.state``).
        ``body`` may be a function that is given the ``Turn``. ``keep_last`` bounds how many turns are kept.
        Example: ``order.loop([poll], while_="$.poll.state != 'ready' && $.again.iteration < 10", ref="again")``
        """
        return self._repeated("loop", body, ref, while_, keep_last, None)

    def for_each(
        self,
        items: Reference | str,
        body: LoopBody,
        *,
        while_: Script | str | None = None,
        keep_last: int | None = None,
        ref: str | None = None,
    ) -> Self:
        """Run ``body`` for one element of a list after the other, as long as ``while_`` is true when it is given.

        Example: ``order.for_each(order.input.lines, lambda turn: Branch().then(pick, sku=turn.item.sku))``
        """
        return self._repeated("for_each", body, ref, while_, keep_last, str(items))

    def _repeated(
        self,
        stem: str,
        body: LoopBody,
        ref: str | None,
        while_: Script | str | None,
        keep_last: int | None,
        items: str | None,
    ) -> Self:
        loop_ref = self._name_step(ref, stem)
        script = None if while_ is None else script_of(while_)
        # Condition and body speak of the loop by its name, so from here on the name must stay.
        output = self._steps[loop_ref].output
        tasks = self._adopt(_body_of(body, Turn(output.loopItem, output.loopIndex, output.iteration)))
        if not tasks:
            raise InvalidRequest(f"{stem} {loop_ref!r} needs a step to repeat")
        parameters = script.parameters() if script else {}
        if keep_last is not None:
            parameters["keepLastN"] = keep_last
        return self._append(
            operator(
                TaskType.DO_WHILE,
                loop_ref,
                loop_condition=script.text if script else None,
                evaluator_type=script.language if script and script.language != "javascript" else None,
                loop_over=tasks,
                items=items,
                input_parameters=parameters,
            )
        )

    # --- other workflows --------------------------------------------------------------------------------------------

    def sub_workflow(
        self,
        workflow: Workflow | WorkflowDef | Reference | str,
        input: Mapping[str, Any] | None = None,
        /,
        *,
        ref: str | None = None,
        version: int | Reference | None = None,
        inline: bool = False,
        definition: Reference | None = None,
        domains: Mapping[str, str] | None = None,
        priority: int | Reference | None = None,
        idempotency_key: str | Reference | None = None,
        idempotency_strategy: IdempotencyStrategy | None = None,
        **inputs: Any,
    ) -> Self:
        """Run another workflow as a step and wait for its end; its output is the step's.

        A ``Workflow`` is run by name in its own version, or carried along with ``inline=True``; a name runs the latest
        version unless ``version`` is given; ``definition`` refers to a definition that is only known when it runs.
        Example: ``order.sub_workflow(invoice, customer=order.input.customer)``
        """
        name, params = self._child(workflow, version, inline)
        params.workflow_definition = str(definition) if definition is not None else params.workflow_definition
        params.task_to_domain = None if domains is None else render(dict(domains), "domains")
        params.priority = render(priority)
        params.idempotency_key = render(idempotency_key)
        params.idempotency_strategy = idempotency_strategy
        return self._append(
            operator(
                TaskType.SUB_WORKFLOW,
                self._name_step(ref, name),
                sub_workflow_param=params,
                input_parameters=inputs_of(input, inputs),
            )
        )

    def _child(
        self, workflow: Workflow | WorkflowDef | Reference | str, version: int | Reference | None, inline: bool
    ) -> tuple[str, SubWorkflowParams]:
        """What to name the step after, and which workflow it starts."""
        if isinstance(workflow, str | Reference):
            if inline:
                raise InvalidRequest("sub_workflow(inline=True) needs the workflow itself, not its name")
            stem = "sub_workflow" if "${" in str(workflow) else str(workflow)
            return stem, SubWorkflowParams(name=str(workflow), version=render(version))
        if isinstance(workflow, WorkflowDef):
            return workflow.name, SubWorkflowParams(name=workflow.name, workflow_definition=workflow)
        if inline:
            self._tasks.extend(workflow.tasks)
            definition = workflow.definition()
            return workflow.name, SubWorkflowParams(name=workflow.name, workflow_definition=definition)
        chosen = workflow.version if version is None else render(version)
        return workflow.name, SubWorkflowParams(name=workflow.name, version=chosen)

    def start_workflow(
        self,
        workflow: Workflow | Reference | str,
        input: Mapping[str, Any] | None = None,
        /,
        *,
        ref: str | None = None,
        version: int | Reference | None = None,
        correlation_id: str | Reference | None = None,
        domains: Mapping[str, str] | None = None,
        priority: int | Reference | None = None,
        idempotency_key: str | Reference | None = None,
        idempotency_strategy: IdempotencyStrategy | None = None,
        **inputs: Any,
    ) -> Self:
        """Start another workflow and go on at once; the step's output holds its ``workflowId``.

        Example: ``order.start_workflow("newsletter", email=order.input.email)``
        """
        name = str(workflow) if isinstance(workflow, str | Reference) else workflow.name
        own_version = None if isinstance(workflow, str | Reference) else workflow.version
        request = {
            "name": name,
            "version": own_version if version is None else render(version),
            "input": inputs_of(input, inputs),
            "correlationId": render(correlation_id),
            "taskToDomain": None if domains is None else render(dict(domains), "domains"),
            "priority": render(priority),
            "idempotencyKey": render(idempotency_key),
            "idempotencyStrategy": render(idempotency_strategy),
        }
        parameters = {"startWorkflow": {key: value for key, value in request.items() if value is not None}}
        return self._append(
            operator(TaskType.START_WORKFLOW, self._name_step(ref, "start_workflow"), input_parameters=parameters)
        )

    def dynamic(
        self, task: Reference | str, input: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **inputs: Any
    ) -> Self:
        """Run the task whose name is known only when the flow gets here.

        Example: ``order.dynamic(order.input.carrier, parcel=pack.output.parcel)``
        """
        parameters = {**inputs_of(input, inputs), _DYNAMIC_INPUT: render(task)}
        return self._append(
            operator(
                TaskType.DYNAMIC,
                self._name_step(ref, "dynamic"),
                dynamic_task_name_param=_DYNAMIC_INPUT,
                input_parameters=parameters,
            )
        )

    # --- waiting and ending -----------------------------------------------------------------------------------------

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
        return self._append(operator(TaskType.WAIT, wait_ref, input_parameters=parameters))

    def set(
        self, variables: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **more_variables: Any
    ) -> Self:
        """Set workflow variables, which are read as ``order.variables.total``.

        Example: ``order.set(total=charge.output["total"])``
        """
        parameters = inputs_of(variables, more_variables)
        return self._append(operator(TaskType.SET_VARIABLE, self._name_step(ref, "set"), input_parameters=parameters))

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
            operator(TaskType.TERMINATE, self._name_step(ref, "terminate"), input_parameters=parameters)
        )

    def human(self, input: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **inputs: Any) -> Self:
        """Wait until a person has done something; whoever reports it ends the step and gives its output.

        Example: ``order.human(ref="approve", amount=order.input.amount)``
        """
        return self._append(
            operator(TaskType.HUMAN, self._name_step(ref, "human"), input_parameters=inputs_of(input, inputs))
        )

    def noop(self, *, ref: str | None = None) -> Self:
        """A step that does nothing, such as a place for branches to meet. Example: ``Branch().noop()``"""
        return self._append(operator(TaskType.NOOP, self._name_step(ref, "noop")))


LoopBody: TypeAlias = "BranchLike | Callable[[Turn], BranchLike]"
"""What a loop repeats: a branch, or a function that writes it for a ``Turn``."""


def _body_of(body: LoopBody, turn: Turn) -> BranchLike:
    # A task can be called, too, but is a branch by itself.
    if isinstance(body, FunctionType | MethodType | partial):
        return cast("BranchLike", body(turn))
    return cast("BranchLike", body)
