"""The handles of ``handles`` for asyncio. Made of them by ``make faces``: change them there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from orchestrator.client.sessions import AwaitedSession
from orchestrator.model.execution import Workflow
from orchestrator.model.status import WorkflowStatus
from orchestrator.plan import Plan
from orchestrator.service import actions, halts, messages, tasks, workflows
from orchestrator.service.actions import ActOptions
from orchestrator.service.halts import Halt, ReturnStrategy
from orchestrator.service.transfer import export_execution
from orchestrator.service.why import Explanation, why

T = TypeVar("T")


class AsyncWorkflowHandle:
    """One execution, by its id. Making a handle reads nothing; every method may raise ``WorkflowNotFound``.

    ``existed``: the start found an earlier execution under its idempotency key.
    Example: ``await handle.result(timeout_s=30)``
    """

    def __init__(self, session: AwaitedSession, workflow_id: str, *, existed: bool = False) -> None:
        self._session = session
        self.id = workflow_id
        self.existed = existed

    async def status(self) -> WorkflowStatus:
        """Where it stands now."""
        return (await self._do(workflows.standing)).status

    async def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for its end and return its output; ``None`` waits as long as it takes.

        Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any end but COMPLETED, and
        ``WaitTimeout`` when it is still under way; the execution goes on then.
        """
        return await self._do(workflows.result, timeout_s)

    async def output(self) -> dict[str, Any]:
        """Its output as it is now, without waiting: ``{}`` before the end."""
        return (await self._do(workflows.standing)).output

    async def describe(self) -> Workflow:
        """Everything about it, with its tasks. Example: ``(await handle.describe()).task("charge").output_data``"""
        return await self._do(workflows.get)

    async def why(self) -> Explanation:
        """What exactly it waits for: tasks, places in queues, limits, timers, signals, children.

        Example: ``[reason.text for reason in (await handle.why()).reasons]``
        """
        return await self._do(why)

    async def export(self) -> dict[str, Any]:
        """It with all its records, as a document for ``import_execution`` and ``orchestrator.testing.replay``.

        Raises ``InvalidRequest`` for one that is too large. Example: ``json.dump(await handle.export(), file)``
        """
        return await self._do(export_execution)

    async def pause(self, **options: Unpack[ActOptions]) -> None:
        """Schedule nothing more until ``resume``; tasks that are out go on. Raises ``Conflict`` when it has ended.

        This and the other actions take ``request_id`` and ``timeout_s`` (10): they raise ``OutcomeUnknown`` when no
        decider answers within that time; repeated under the same request id an action happens once.
        """
        await self._do(actions.pause, **options)

    async def resume(self, **options: Unpack[ActOptions]) -> None:
        """Go on after ``pause``. Raises ``Conflict`` when it is not paused."""
        await self._do(actions.resume, **options)

    async def terminate(
        self, reason: str | None = None, *, trigger_failure_workflow: bool = False, **options: Unpack[ActOptions]
    ) -> None:
        """End it now as TERMINATED; open tasks are cancelled. Raises ``Conflict`` when it has COMPLETED."""
        await self._do(actions.terminate, reason, trigger_failure_workflow=trigger_failure_workflow, **options)

    async def restart(self, *, use_latest_definitions: bool = False, **options: Unpack[ActOptions]) -> None:
        """Start over under the same id when it has ended: nothing of the former run is left, variables are as at first.

        Raises ``Conflict`` while it is under way, or when it has COMPLETED and its definition is not restartable.
        """
        await self._do(actions.restart, use_latest_definitions=use_latest_definitions, **options)

    async def retry(self, *, resume_subworkflow_tasks: bool = False, **options: Unpack[ActOptions]) -> None:
        """Go on where it failed when it has ended: what failed and what its end cancelled gets one more attempt.

        A failed sub-workflow is replaced by a new one; with ``resume_subworkflow_tasks`` the lowest one that failed goes
        on instead. Raises ``Conflict`` while it is under way and when nothing can be retried.
        """
        await self._do(actions.retry, resume_subworkflow_tasks=resume_subworkflow_tasks, **options)

    async def rerun(
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
        Example: ``await handle.rerun("charge", task_input={"amount": 3})``
        """
        await self._do(
            actions.rerun,
            from_ref=from_ref,
            from_task_id=from_task_id,
            task_input=task_input,
            workflow_input=workflow_input,
            correlation_id=correlation_id,
            **options,
        )

    async def skip(
        self,
        ref: str,
        input: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        **options: Unpack[ActOptions],
    ) -> None:
        """Pass over the step ``ref`` when its turn comes; later steps see it SKIPPED, with this input and output.

        Raises ``NotFound`` for a step that the definition does not have, ``Conflict`` for one that has begun.
        Example: ``await handle.skip("charge", output={"receipt": "by hand"})``
        """
        await self._do(actions.skip, ref, input, output, **options)

    async def update_variables(self, variables: Mapping[str, Any], **options: Unpack[ActOptions]) -> None:
        """Lay ``variables`` over its variables. Raises ``Conflict`` when it has ended, ``InvalidPayload``."""
        await self._do(actions.update_variables, variables, **options)

    async def update_task(
        self, ref: str, status: str = "COMPLETED", output: Mapping[str, Any] | None = None, *, reason: str | None = None
    ) -> bool:
        """Say from outside how its open task ``ref`` ended; ``output`` is laid over what the task has.

        ``False``: it had ended before, and nothing was changed. Raises ``TaskNotFound``, ``InvalidRequest``.
        Example: ``await handle.update_task("approval", "COMPLETED", {"by": "Ada"})``
        """
        return (await self._do(tasks.update_task_by_ref, ref, status, output, reason=reason)).is_accepted

    async def jump(self, ref: str, task_input: Mapping[str, Any] | None = None, **options: Unpack[ActOptions]) -> None:
        """Go on at the step ``ref`` now: what is open is cancelled, ``ref`` and what follows it is done, again if need be.

        Raises ``NotFound`` for a step that the definition does not have, ``Conflict`` for one inside a fork or loop.
        """
        await self._do(actions.jump, ref, task_input, **options)

    async def upgrade(
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
        Example: ``await handle.upgrade(3, task_output={"check": {"ok": True}})``
        """
        answer = await self._do(
            actions.upgrade, version, task_output=task_output, workflow_input=workflow_input, **options
        )
        skipped: list[str] = answer["skipped"]
        return skipped

    async def update_state(
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
        Example: ``await handle.update_state(variables={"paid": True}, ref="payment", output={"receipt": "7"})``
        """
        await self._do(
            actions.update_state,
            variables=variables,
            ref=ref,
            status=status,
            output=output,
            reason=reason,
            **options,
        )

    async def remove(self, *, force: bool = False) -> None:
        """Delete it for good when it has ended, or with ``force`` whatever it is doing. Raises ``Conflict``."""
        await self._do(workflows.remove, force=force)

    async def reset_callbacks(self, **options: Unpack[ActOptions]) -> int:
        """Let its tasks that wait for a delay or a retry be claimed at once; gives how many did."""
        answer = await self._do(actions.reset_callbacks, **options)
        return int(answer["tasks"])

    async def signal(
        self, name: str | None = None, payload: Mapping[str, Any] | None = None, **options: Unpack[ActOptions]
    ) -> None:
        """End the step that waits for this signal (``None``: the first one that waits); ``payload`` is its output.

        When none of its own steps does, sub-workflows are asked, the first in depth.

        Raises ``TaskNotFound`` when nothing waits for it, ``Conflict`` when the execution has ended.
        Example: ``await handle.signal("approved", {"by": "Ada"})``
        """
        await self._do(halts.signal, name, payload, **options)

    async def signal_and_wait(
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
        Example: ``(await handle.signal_and_wait("approved", return_strategy="BLOCKING_TASK")).task``
        """
        return await self._do(
            halts.signal_and_wait,
            name,
            payload,
            wait_until_refs=wait_until_refs,
            return_strategy=return_strategy,
            timeout_s=timeout_s,
            request_id=request_id,
        )

    async def push_message(
        self,
        payload: Mapping[str, Any],
        *,
        message_id: str | None = None,
        timeout_s: float = actions.ANSWER_WAIT_S,
    ) -> str:
        """Give the execution a message for its PULL_WORKFLOW_MESSAGES tasks; the message's id, by default a random one.

        A second push of the same ``message_id`` adds nothing. Raises ``Conflict`` when it is not RUNNING and
        ``QueueFull`` when too many wait. Example: ``await handle.push_message({"paid": 1200}, message_id="payment-7")``
        """
        return await self._do(messages.push, payload, message_id=message_id, timeout_s=timeout_s)

    async def _do(self, verb: Callable[..., Plan[T]], *arguments: Any, **options: Any) -> T:
        return await self._session.run(self._session.plan(verb, self.id, *arguments, **options))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class AsyncTaskHandle:
    """One enqueued task; its ``id`` is that of the one-step workflow that carries it.

    ``existed``: an earlier enqueue with the same ``unique_key`` was found. Example: ``await handle.result(timeout_s=10)``
    """

    def __init__(self, session: AwaitedSession, workflow_id: str, *, existed: bool = False) -> None:
        self._workflow = AsyncWorkflowHandle(session, workflow_id)
        self.id = workflow_id
        self.existed = existed

    async def status(self) -> WorkflowStatus:
        """Where it stands now: RUNNING until it has ended, retries and delays included."""
        return await self._workflow.status()

    async def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for the end and return the task's output; a value that is no object stands under ``result``.

        Raises like ``AsyncWorkflowHandle.result``.
        """
        return await self._workflow.result(timeout_s)

    async def cancel(self, reason: str = "cancelled") -> None:
        """Do not run it, or stop wanting it when it runs already. Raises ``Conflict`` when it has COMPLETED."""
        await self._workflow.terminate(reason)

    def workflow(self) -> AsyncWorkflowHandle:
        """The execution that carries the task, for everything else there is to ask."""
        return self._workflow

    def __repr__(self) -> str:
        return f"<AsyncTaskHandle {self.id}>"
