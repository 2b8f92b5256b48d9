"""What a running task may ask and say: who am I, log this, am I still wanted, I am not finished yet.

A ``TaskContext`` is made by whoever runs the task (a worker, a test) and is found by the task's code as a parameter
annotated ``TaskContext`` or through ``TaskContext.current()``, also in threads that were started with a copied context.
It never talks to a store and has no clock: its maker passes in the time and what a heartbeat does, and sets
``cancelled``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from orchestrator import ids
from orchestrator.errors import InvalidRequest

LOG_LINES_MAX = 1_000
LOG_LINE_CHARS_MAX = 4_000
LOG_CHARS_MAX = 100_000


class TaskContext:
    """One delivery of one attempt of a task, as seen from inside the task's code.

    ``attempt`` counts retries from 0; ``delivery`` counts how often this attempt was handed to a worker, from 1;
    ``iteration`` is 0 outside loops. ``logs`` holds what the code logged, as (epoch ms, text); without ``now_ms``, as
    in tests, every line is at 0.
    Example: ``TaskContext.current().log("charging the card")``
    """

    __slots__ = (
        "_beat",
        "_log_chars",
        "_now_ms",
        "attempt",
        "cancelled",
        "delivery",
        "generation",
        "iteration",
        "logs",
        "ref",
        "runtime_metadata",
        "task_id",
        "task_type",
        "trace",
        "worker_id",
        "workflow_id",
        "workflow_name",
    )

    def __init__(
        self,
        task_id: str,
        workflow_id: str,
        workflow_name: str,
        ref: str,
        task_type: str,
        *,
        attempt: int = 0,
        delivery: int = 1,
        iteration: int = 0,
        generation: int = 0,
        now_ms: Callable[[], int] | None = None,
        beat: Callable[[TaskContext], None] | None = None,
        runtime_metadata: Mapping[str, str] | None = None,
        worker_id: str = "",
        trace: Mapping[str, str] | None = None,
    ) -> None:
        self.task_id = task_id
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.ref = ref
        self.task_type = task_type
        self.attempt = attempt
        self.delivery = delivery
        self.iteration = iteration
        self.generation = generation
        self.worker_id = worker_id
        self.trace: Mapping[str, str] = trace or {}
        """``traceparent`` and ``tracestate`` of whoever started the workflow, if that was part of a trace."""
        self.runtime_metadata: Mapping[str, str] = runtime_metadata or {}
        """Values of the names in the task definition's ``runtimeMetadata``: secrets, else environment values."""
        self.cancelled = False
        """True once the result is no longer wanted: the workflow cancelled the task or the worker lost its lease."""
        self.logs: list[tuple[int, str]] = []
        self._log_chars = 0
        self._now_ms = now_ms
        self._beat = beat

    @property
    def idempotency_key(self) -> str:
        """Text that stays the same for every attempt and delivery of this step: pass it on to outside services."""
        return ids.step_key(self.workflow_id, self.ref, self.iteration, self.generation)

    @property
    def log_fields(self) -> dict[str, str | int]:
        """The ids that every line about this task should have: worker, workflow, task, type, attempt, delivery."""
        return {
            "worker_id": self.worker_id,
            "workflow_id": self.workflow_id,
            "task_id": self.task_id,
            "task_type": self.task_type,
            "attempt": self.attempt,
            "delivery": self.delivery,
        }

    def log(self, message: object) -> None:
        """Add one line to the task's log, which is kept with its result.

        A line longer than 4,000 characters is cut, and what comes after 1,000 lines or 100,000 characters is dropped,
        so that a chatty loop cannot outgrow the result it belongs to.
        Example: ``context.log(f"{done} of {total} rows copied")``
        """
        # Lone surrogates (file names, broken terminals) have no UTF-8 form and would make the result unstorable.
        text = str(message)[:LOG_LINE_CHARS_MAX].encode("utf-8", "replace").decode()
        if len(self.logs) < LOG_LINES_MAX and self._log_chars + len(text) <= LOG_CHARS_MAX:
            self._log_chars += len(text)
            self.logs.append((self._now_ms() if self._now_ms is not None else 0, text))

    def heartbeat(self) -> None:
        """Tell the store now that this task is alive.

        Workers do so on their own, at a third of the lease and of the response timeout; calling it more often is
        allowed and cheap. Example: ``for row in rows: copy(row); context.heartbeat()``
        """
        if self._beat is not None:
            self._beat(self)

    @staticmethod
    def current() -> TaskContext:
        """The context of the task this code runs in.

        Raises ``InvalidRequest`` when no task is running here. Example: ``key = TaskContext.current().idempotency_key``
        """
        context = _CURRENT.get()
        if context is None:
            raise InvalidRequest(
                "no task is running here: TaskContext.current() works inside a task that a worker or a test runs; "
                "in a thread of your own, start it with contextvars.copy_context().run"
            )
        return context


def log_fields() -> dict[str, str | int]:
    """``TaskContext.log_fields`` of the task this code runs in; nothing where none runs."""
    context = _CURRENT.get()
    return {} if context is None else context.log_fields


class InProgress(Exception):
    """The task is not finished: hand it out again after ``callback_after_s`` seconds. Return it, or raise it.

    An exception only so that code deep inside a task can raise it; it is not a failure and costs no retry.
    """

    def __init__(self, callback_after_s: float = 60.0, output: Any = None) -> None:
        self.callback_after_s = callback_after_s
        self.output = output
        super().__init__(f"in progress, again in {callback_after_s:g} s")


def in_progress(callback_after_s: float = 60.0, *, output: Any = None) -> InProgress:
    """What a task returns when it is waiting for something: ``output`` so far, and when to be called again.

    The task keeps its concurrency slot meanwhile. Raises ``InvalidRequest`` for a negative delay.
    Example: ``return in_progress(callback_after_s=30, output={"uploaded": 3})``
    """
    if not 0 <= callback_after_s < float("inf"):
        raise InvalidRequest(f"callback_after_s={callback_after_s} must be zero or more seconds")
    return InProgress(callback_after_s, output)


_CURRENT: ContextVar[TaskContext | None] = ContextVar("orchestrator_task", default=None)


def enter(context: TaskContext) -> None:
    """Make ``context`` the current one, for runners of tasks: they run each task in a copied context of its own.

    Example: ``contextvars.copy_context().run(run_with, context)`` where ``run_with`` begins with ``enter(context)``
    """
    _CURRENT.set(context)
