"""What an operator or a caller may do to a workflow: one file per family, found in one literal table by name.

Legality is decided here and nowhere else, on the committed state, and the answer is written by the same commit as the
effect: one writer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.codec import pack
from orchestrator.core import listening
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, misfit, refuse
from orchestrator.core.operations.callbacks import reset_callbacks
from orchestrator.core.operations.jump import jump, prepare
from orchestrator.core.operations.log import log
from orchestrator.core.operations.messages import push_message
from orchestrator.core.operations.progress import pause, resume, terminate
from orchestrator.core.operations.rerun import rerun
from orchestrator.core.operations.restart import restart
from orchestrator.core.operations.retry import retry
from orchestrator.core.operations.signals import signal
from orchestrator.core.operations.skip import skip
from orchestrator.core.operations.state import update_state
from orchestrator.core.operations.upgrade import is_between_steps, upgrade
from orchestrator.core.operations.variables import update_variables
from orchestrator.model.events import Operation
from orchestrator.model.records import Deferred
from orchestrator.model.status import is_terminal

OPERATIONS: dict[str, Callable[[Draft, dict[str, Any]], Answer | None]] = {
    "jump": jump,
    "log": log,
    "pause": pause,
    "push_message": push_message,
    "rerun": rerun,
    "reset_callbacks": reset_callbacks,
    "restart": restart,
    "resume": resume,
    "retry": retry,
    "signal": signal,
    "skip": skip,
    "terminate": terminate,
    "update_state": update_state,
    "update_variables": update_variables,
    "upgrade": upgrade,
    "watch": lambda d, _: accept(d),
}


REVIVALS = frozenset({"rerun", "restart", "retry"})
"""What makes an ended workflow go on. Its open tasks must have been cancelled before, and accepted outcomes be in."""


def apply(d: Draft, event: Operation) -> None:
    """Carry out one operation, or refuse it, or keep it for when it can be; its request id gets the answer."""
    operation = Deferred(event.request_id, event.action, event.arguments)
    if event.action == "terminate":
        _call_off(d)
    elif d.core.deferred or _must_wait(d, operation):
        d.core.deferred = [*d.core.deferred, operation]
        return
    _carry_out(d, operation)


def may_take_up(d: Draft) -> bool:
    """Whether an operation waits that need wait no longer."""
    if not d.core.deferred or d.again:
        return False
    return d.core.open == 0 if d.is_jumping else not _must_wait(d, d.core.deferred[0])


def take_up(d: Draft) -> None:
    """Carry out the first operation that had to wait."""
    operation, *d.core.deferred = d.core.deferred
    _carry_out(d, operation)


def prepare_jump(d: Draft) -> None:
    """Cancel more of what is open before the jump that waits."""
    prepare(d, d.core.deferred[0].arguments)


def _must_wait(d: Draft, operation: Deferred) -> bool:
    if operation.action == "jump" and not is_terminal(d.core.status):
        return misfit(operation.arguments) is None and prepare(d, operation.arguments)
    if operation.action == "upgrade":
        return is_between_steps(d)
    return operation.action in REVIVALS and is_terminal(d.core.status) and d.core.open > 0


def _watch_ms(arguments: dict[str, Any]) -> int:
    """For how long whoever asks goes on waiting after the answer."""
    wanted = arguments.get("watch_ms")
    return wanted if type(wanted) is int and wanted > 0 else 0


def _call_off(d: Draft) -> None:
    """Whoever terminates a workflow wants nothing of what still waits to happen to it."""
    for operation in d.core.deferred:
        refusal = refuse("CONFLICT", f"workflow {label(d)} was terminated before its {operation.action} could begin")
        d.answers.append((operation.request_id, pack(refusal)))
    d.core.deferred = []


def _carry_out(d: Draft, operation: Deferred) -> None:
    handler = OPERATIONS.get(operation.action)
    d.watch(_watch_ms(operation.arguments))
    wrong = misfit(operation.arguments)
    if handler is None:
        wrong = f"unknown operation {operation.action!r} on workflow {d.workflow_id}"
    answer = handler(d, operation.arguments) if handler and wrong is None else refuse("INVALID_REQUEST", wrong or "")
    if answer is None:  # it has begun, and goes on in the next decision
        d.core.deferred = [operation, *d.core.deferred]
        d.again = True
        return
    if answer.get("ok"):
        listening.operation(d, operation.action, operation.arguments)
    d.answers.append((operation.request_id, pack(answer)))
