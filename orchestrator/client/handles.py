"""``WorkflowHandle`` and ``TaskHandle``: one execution, looked at, waited for and acted on.

Every verb is a plan of ``service`` and only driven here. ``async_handles`` is made of this file by ``make faces``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from orchestrator.client.sessions import Session
from orchestrator.model.execution import Workflow
from orchestrator.model.status import WorkflowStatus
from orchestrator.plan import Plan
from orchestrator.service import actions, halts, messages, tasks, workflows
from orchestrator.service.actions import ActOptions
from orchestrator.service.halts import Halt, ReturnStrategy
from orchestrator.service.transfer import export_execution
from orchestrator.service.why import Explanation, why

T = TypeVar("T")


class WorkflowHandle:
    """One execution, by its id. Making a handle reads nothing; every method may raise ``WorkflowNotFound``.

    ``existed``: the start found an earlier execution under its idempotency key.
    Example: ``handle.result(timeout_s=30)``
    """

    def __init__(self, session: Session, workflow_id: str, *, existed: bool = False) -> None:
        self._session = session
        self.id = workflow_id
        self.existed = existed

    def status(self) -> WorkflowStatus:
        """Where it stands now."""
        return self._do(workflows.standing).status

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for its end and return its output; ``None`` waits as long as it takes.

        Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any end but COMPLETED, and
        ``WaitTimeout`` when it is still under way; the execution goes on then.
        """
        return self._do(workflows.result, timeout_s)

    def output(self) -> dict[str, Any]:
        """Its output as it is now, without waiting: ``{}`` before the end."""
        return self._do(workflows.standing).output

    def describe(self) -> Workflow:
        """Everything about it, with its tasks. Example: ``handle.describe().task("charge").output_data``"""
        return self._do(workflows.get)

    def why(self) -> Explanation:
        """What exactly it waits for: tasks, places in queues, limits, timers, signals, children.

        Example: ``[reason.text for reason in handle.why().reasons]``
        """
        return self._do(why)

    def export(self) -> dict[str, Any]:
        """It with all its records, as a document for ``import_execution`` and ``orchestrator.testing.replay``.

        Raises ``InvalidRequest`` for one that is too large. Example: ``json.dump(handle.export(), file)``
        """
        return self._do(export_execution)

    def pause(self, **options: Unpack[ActOptions]) -> None:
        """Schedule nothing more until ``resume``; tasks that are out go on. Raises ``Conflict`` when it has ended.

        This and the other actions take ``request_id`` and ``timeout_s`` (10): they raise ``OutcomeUnknown`` when no
        decider answers within that time; repeated under the same request id an action happens once.
        """
        self._do(actions.pause, **options)

    def resume(self, **options: Unpack[ActOptions]) -> None:
        """Go on after ``pause``. Raises ``Conflict`` when it is not paused."""
        self._do(actions.resume, **options)

    def terminate(
        self, reason: str | None = None, *, trigger_failure_workflow: bool = False, **options: Unpack[ActOptions]
    ) -> None:
        """End it now as TERMINATED; open tasks are cancelled. Raises ``Conflict`` when it has COMPLETED."""
        self._do(actions.terminate, reason, trigger_failure_workflow=trigger_failure_workflow, **options)

    def restart(self, *, use_latest_definitions: bool = False, **options: Unpack[ActOptions]) -> None:
        """Start over under the same id when it has ended: nothing of the former run is left, variables are as at first.

        Raises ``Conflict`` while it is under way, or when it has COMPLETED and its definition is not restartable.
        """
        self._do(actions.restart, use_latest_definitions=use_latest_definitions, **options)

    def retry(self, *, resume_subworkflow_tasks: bool = False, **options: Unpack[ActOptions]) -> None:
        """Go on where it failed when it has ended: what failed and what its end cancelled gets one more attempt.

        A failed sub-workflow is replaced by a new one; with ``resume_subworkflow_tasks`` the lowest one that failed goes
        on instead. Raises ``Conflict`` while it is under way and when nothing can be retried.
        """
        self._do(actions.retry, resume_subworkflow_tasks=resume_subworkflow_tasks, **options)

    def rerun(
        self,
        from_ref: str | None = None,
        *,
        from_task_id: str | None = None,
        task_input: Mapping[str, Any] | None = None,
        workflow_input: Mapping[str, Any] | None = None,
        correlation_id: str | None = None,
        **options: Unpack[ActOptions],
    ) -> None:
        """Do the task ``from_ref`` (``name__2`` in a loop) and all that came after it anew, when it has ended.

        A task of a sub-workflow is named by ``from_task_id``. Without either it begins anew. What ran beside the task
        stays; what was cancelled beside it goes on. ``task_input`` takes the place of what the task's parameters give.
        Raises ``Conflict`` while it is under way, ``TaskNotFound``.
        Example: ``handle.rerun("charge", task_input={"amount": 3})``
        """
        self._do(
            actions.rerun,
            from_ref=from_ref,
            from_task_id=from_task_id,
            task_input=task_input,
            workflow_input=workflow_input,
            correlation_id=correlation_id,
            **options,
        )

    def skip(
        self,
        ref: str,
        input: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        **options: Unpack[ActOptions],
    ) -> None:
        """Pass over the step ``ref`` when its turn comes; later steps see it SKIPPED, with this input and output.

        Raises ``NotFound`` for a step that the definition does not have, ``Conflict`` for one that has begun.
        Example: ``handle.skip("charge", output={"receipt": "by hand"})``
        """
        self._do(actions.skip, ref, input, output, **options)

    def update_variables(self, variables: Mapping[str, Any], **options: Unpack[ActOptions]) -> None:
        """Lay ``variables`` over its variables. Raises ``Conflict`` when it has ended, ``InvalidPayload``."""
        self._do(actions.update_variables, variables, **options)

    def update_task(
        self, ref: str, status: str = "COMPLETED", output: Mapping[str, Any] | None = None, *, reason: str | None = None
    ) -> bool:
        """Say from outside how its open task ``ref`` ended; ``output`` is laid over what the task has.

        ``False``: it had ended before, and nothing was changed. Raises ``TaskNotFound``, ``InvalidRequest``.
        Example: ``handle.update_task("approval", "COMPLETED", {"by": "Ada"})``
        """
        return self._do(tasks.update_task_by_ref, ref, status, output, reason=reason).is_accepted

    def jump(self, ref: str, task_input: Mapping[str, Any] | None = None, **options: Unpack[ActOptions]) -> None:
        """Go on at the step ``ref`` now: what is open is cancelled, ``ref`` and what follows it is done, again if need be.

        Raises ``NotFound`` for a step that the definition does not have, ``Conflict`` for one inside a fork or loop.
        """
        self._do(actions.jump, ref, task_input, **options)

    def upgrade(
        self,
        version: int | None = None,
        *,
        task_output: Mapping[str, Mapping[str, Any]] | None = None,
        workflow_input: Mapping[str, Any] | None = None,
        **options: Unpack[ActOptions],
    ) -> list[str]:
        """Go on by another version of the workflow, by default the latest; the steps that were passed over for it.

        Those are what the version has before what is open, with the outputs of ``task_output`` by reference name;
        ``workflow_input`` is laid over the input. Raises ``Conflict`` when something that is open has no place in it.
        Example: ``handle.upgrade(3, task_output={"check": {"ok": True}})``
        """
        answer = self._do(actions.upgrade, version, task_output=task_output, workflow_input=workflow_input, **options)
        skipped: list[str] = answer["skipped"]
        return skipped

    def update_state(
        self,
        *,
        variables: Mapping[str, Any] | None = None,
        ref: str | None = None,
        status: str = "COMPLETED",
        output: Mapping[str, Any] | None = None,
        reason: str | None = None,
        **options: Unpack[ActOptions],
    ) -> None:
        """Change variables and say how its open task ``ref`` ended, in one step: both or neither.

        Raises ``TaskNotFound``, ``Conflict`` when the execution has ended, ``InvalidPayload``.
        Example: ``handle.update_state(variables={"paid": True}, ref="payment", output={"receipt": "7"})``
        """
        self._do(
            actions.update_state,
            variables=variables,
            ref=ref,
            status=status,
            output=output,
            reason=reason,
            **options,
        )

    def remove(self, *, force: bool = False) -> None:
        """Delete it for good when it has ended, or with ``force`` whatever it is doing. Raises ``Conflict``."""
        self._do(workflows.remove, force=force)

    def reset_callbacks(self, **options: Unpack[ActOptions]) -> int:
        """Let its tasks that wait for a delay or a retry be claimed at once; gives how many did."""
        answer = self._do(actions.reset_callbacks, **options)
        return int(answer["tasks"])

    def signal(
        self, name: str | None = None, payload: Mapping[str, Any] | None = None, **options: Unpack[ActOptions]
    ) -> None:
        """End the step that waits for this signal (``None``: the first one that waits); ``payload`` is its output.

        When none of its own steps does, sub-workflows are asked, the first in depth.

        Raises ``TaskNotFound`` when nothing waits for it, ``Conflict`` when the execution has ended.
        Example: ``handle.signal("approved", {"by": "Ada"})``
        """
        self._do(halts.signal, name, payload, **options)

    def signal_and_wait(
        self,
        name: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        wait_until_refs: Sequence[str] = (),
        return_strategy: str = ReturnStrategy.TARGET_WORKFLOW,
        timeout_s: float = halts.SIGNAL_WAIT_S,
        request_id: str | None = None,
    ) -> Halt:
        """Signal like ``signal`` and wait until it halts again: it has ended, or waits for another signal.

        ``return_strategy`` says what of the halt is wanted, see ``execute_until_halt`` of the client.
        Example: ``handle.signal_and_wait("approved", return_strategy="BLOCKING_TASK").task``
        """
        return self._do(
            halts.signal_and_wait,
            name,
            payload,
            wait_until_refs=wait_until_refs,
            return_strategy=return_strategy,
            timeout_s=timeout_s,
            request_id=request_id,
        )

    def push_message(
        self,
        payload: Mapping[str, Any],
        *,
        message_id: str | None = None,
        timeout_s: float = actions.ANSWER_WAIT_S,
    ) -> str:
        """Give the execution a message for its PULL_WORKFLOW_MESSAGES tasks; the message's id, by default a random one.

        A second push of the same ``message_id`` adds nothing. Raises ``Conflict`` when it is not RUNNING and
        ``QueueFull`` when too many wait. Example: ``handle.push_message({"paid": 1200}, message_id="payment-7")``
        """
        return self._do(messages.push, payload, message_id=message_id, timeout_s=timeout_s)

    def _do(self, verb: Callable[..., Plan[T]], *arguments: Any, **options: Any) -> T:
        return self._session.run(self._session.plan(verb, self.id, *arguments, **options))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class TaskHandle:
    """One enqueued task; its ``id`` is that of the one-step workflow that carries it.

    ``existed``: an earlier enqueue with the same ``unique_key`` was found. Example: ``handle.result(timeout_s=10)``
    """

    def __init__(self, session: Session, workflow_id: str, *, existed: bool = False) -> None:
        self._workflow = WorkflowHandle(session, workflow_id)
        self.id = workflow_id
        self.existed = existed

    def status(self) -> WorkflowStatus:
        """Where it stands now: RUNNING until it has ended, retries and delays included."""
        return self._workflow.status()

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for the end and return the task's output; a value that is no object stands under ``result``.

        Raises like ``WorkflowHandle.result``.
        """
        return self._workflow.result(timeout_s)

    def cancel(self, reason: str = "cancelled") -> None:
        """Do not run it, or stop wanting it when it runs already. Raises ``Conflict`` when it has COMPLETED."""
        self._workflow.terminate(reason)

    def workflow(self) -> WorkflowHandle:
        """The execution that carries the task, for everything else there is to ask."""
        return self._workflow

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"
