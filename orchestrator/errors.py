"""Every exception of the product, in one tree, each class with a stable ``code``.

The tree splits by blame: ``InvalidRequest`` (the caller can fix it), ``Unavailable`` (try again later) and the task
outcomes that user code raises. Expected refusals of the store (STALE, DUP, GONE...) are values, never exceptions.
The CLI maps ``exit_code`` to its process status; the HTTP layer maps ``code`` to a status.
"""

from __future__ import annotations

from typing import Any


class OrchestratorError(Exception):
    """Root of every error this package raises. ``code`` is stable; the message says what, which id, what to do."""

    code = "ERROR"
    exit_code = 1


# --- the caller can fix it ------------------------------------------------------------------------------------------


class InvalidRequest(OrchestratorError):
    """The request cannot be carried out as written."""

    code = "INVALID_REQUEST"
    exit_code = 2


class Problem:
    """One fault found in user input: ``path`` (``tasks[2].taskReferenceName``), ``message``, the offending ``value``."""

    __slots__ = ("message", "path", "value")

    def __init__(self, path: str, message: str, value: Any = None) -> None:
        self.path = path
        self.message = message
        self.value = value

    def __repr__(self) -> str:
        return f"Problem({self.path!r}, {self.message!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and (self.path, self.message) == (other.path, other.message)

    def __hash__(self) -> int:
        return hash((self.path, self.message))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DefinitionInvalid(InvalidRequest):
    """A workflow or task definition breaks rules; ``problems`` lists every one of them, not just the first.

    Example: ``except DefinitionInvalid as error: print(*error.problems, sep="\\n")``
    """

    code = "DEFINITION_INVALID"
    exit_code = 7

    def __init__(self, what: str, problems: list[Problem]) -> None:
        self.what = what
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{what} is not valid ({len(problems)} problem{'s' if len(problems) != 1 else ''}):\n{lines}")


class InvalidPayload(InvalidRequest):
    """A value cannot be stored (NaN, integer beyond 64 bit, non-text key, too deep, too large); ``path`` says where."""

    code = "INVALID_PAYLOAD"
    exit_code = 7

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path or 'value'}: {reason}")


class SchemaViolation(InvalidPayload):
    """An input does not comply with the schema its workflow enforces; ``path`` says where."""

    code = "SCHEMA_VIOLATION"


class NotFound(InvalidRequest):
    """No such thing under that name or id."""

    code = "NOT_FOUND"
    exit_code = 3


class WorkflowNotFound(NotFound):
    """No workflow execution with that id."""

    code = "WORKFLOW_NOT_FOUND"


class DefinitionNotFound(NotFound):
    """No workflow or task definition of that name (and version)."""

    code = "DEFINITION_NOT_FOUND"


class TaskNotFound(NotFound):
    """No task with that id or reference name in the workflow."""

    code = "TASK_NOT_FOUND"


class PayloadMissing(NotFound):
    """A payload that is kept outside Redis is not there."""

    code = "PAYLOAD_MISSING"


class Conflict(InvalidRequest):
    """The state of the target forbids the request (already ended, already exists, not paused)."""

    code = "CONFLICT"
    exit_code = 4


class RateLimited(Conflict):
    """As many executions of the workflow as may run at once do already; start it later."""

    code = "RATE_LIMITED"


class Unauthorized(InvalidRequest):
    """The request carries no token, or one that lets nobody in; get one with key id and secret."""

    code = "INVALID_TOKEN"
    exit_code = 6


class TokenExpired(Unauthorized):
    """The token was good and is too old; get another."""

    code = "EXPIRED_TOKEN"


class Forbidden(InvalidRequest):
    """The key's role is not enough for this."""

    code = "FORBIDDEN"
    exit_code = 6


class TooFast(InvalidRequest):
    """The key has made as many requests as it may in this moment; repeat the request later."""

    code = "TOO_FAST"


class MissingExtra(InvalidRequest):
    """An optional dependency is needed; the message holds the exact ``pip install`` line."""

    code = "MISSING_EXTRA"
    exit_code = 2

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional package. Install it with: pip install 'redis-orchestrator[{extra}]'"
        )


class SettingsInvalid(InvalidRequest):
    """A setting has an unusable value."""

    code = "SETTINGS_INVALID"


# --- try again later ------------------------------------------------------------------------------------------------


class Unavailable(OrchestratorError):
    """Nothing is wrong with the request; repeat it later."""

    code = "UNAVAILABLE"
    exit_code = 5


class QueueFull(Unavailable):
    """As much as may wait waits already; repeat the request when some of it was taken."""

    code = "QUEUE_FULL"


class StoreUnavailable(Unavailable):
    """Redis cannot be reached or does not answer in time."""

    code = "STORE_UNAVAILABLE"


class ServerUnavailable(Unavailable):
    """The HTTP server cannot be reached, or something in front of it answers in its place."""

    code = "SERVER_UNAVAILABLE"


class ArchiveUnavailable(Unavailable):
    """The archive of ended executions cannot be reached; those that are in Redis can."""

    code = "ARCHIVE_UNAVAILABLE"


class StoreRefused(Unavailable):
    """Redis is reachable but unusable as configured (evicting policy, wrong version, foreign key schema, no rights).

    The message is ``problem``, then ``fix`` where it is known what to do, then ``detail``. ``is_passing``: it is about the
    server, and not about the keys and arguments of what was refused. One that came over HTTP has its message only.
    """

    code = "STORE_REFUSED"
    problem = ""
    fix = ""
    is_passing = False

    def __init__(self, problem: str, fix: str = "", *, detail: str = "", is_passing: bool = False) -> None:
        super().__init__((f"{problem}; {fix}" if fix else problem) + (f" ({detail})" if detail else ""))
        self.problem = problem
        self.fix = fix
        self.is_passing = is_passing


class StoreForbidden(StoreRefused):
    """Redis is reachable but does not let this user in, or not do what is needed."""

    code = "STORE_FORBIDDEN"
    exit_code = 6


class PayloadUnavailable(Unavailable):
    """The place where large payloads are kept does not answer."""

    code = "PAYLOAD_UNAVAILABLE"


class OutcomeUnknown(Unavailable):
    """The request was sent but its outcome was not seen in time; repeat it with the same request id."""

    code = "OUTCOME_UNKNOWN"


class WaitTimeout(Unavailable):
    """The awaited state was not reached in time; the workflow goes on."""

    code = "WAIT_TIMEOUT"
    exit_code = 8


# --- how a workflow ended, when somebody waited for its output ---------------------------------------------------------


class WorkflowUnsuccessful(OrchestratorError):
    """A workflow ended without success; ``workflow_id``, ``reason`` and ``output`` tell the rest."""

    code = "WORKFLOW_UNSUCCESSFUL"
    exit_code = 10
    status = "FAILED"

    def __init__(self, workflow_id: str, reason: str | None, output: Any = None) -> None:
        self.workflow_id = workflow_id
        self.reason = reason
        self.output = output
        super().__init__(f"workflow {workflow_id} ended {self.status}: {reason or 'no reason recorded'}")


class WorkflowFailed(WorkflowUnsuccessful):
    """The workflow ended FAILED."""

    code = "WORKFLOW_FAILED"


class WorkflowTerminated(WorkflowUnsuccessful):
    """The workflow ended TERMINATED."""

    code = "WORKFLOW_TERMINATED"
    exit_code = 11
    status = "TERMINATED"


class WorkflowTimedOut(WorkflowUnsuccessful):
    """The workflow ended TIMED_OUT."""

    code = "WORKFLOW_TIMED_OUT"
    exit_code = 12
    status = "TIMED_OUT"


# --- outcomes that task code raises -------------------------------------------------------------------------------------


class TerminalError(Exception):
    """Raise inside a task: this attempt failed and no retry can help (FAILED_WITH_TERMINAL_ERROR).

    Example: ``raise TerminalError("card number is not valid")``
    """


class Retry(Exception):
    """Raise inside a task: this attempt failed, retry it after ``after_s`` seconds instead of the policy's delay.

    The attempt counts against the retry limit like any other failure. Example: ``raise Retry(after_s=30)``
    """

    def __init__(self, reason: str = "retry requested", *, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(reason)
