"""``@task``: a plain function becomes a unit of work that workflows name, workers run and applications enqueue.

A ``Task`` still is the function: calling it runs it, here and now. What it adds is a name, a policy (``definition()``)
and the conversion of stored inputs. There is no global registry: whoever needs the tasks of a module looks into that
module (``tasks_in``). Nothing here runs a worker or opens a connection; ``enqueue`` asks the default client to.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator.binding import Binding, encode_output
from orchestrator.context import TaskContext
from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem
from orchestrator.model.definitions import RetryLogic, TaskDef, TimeoutPolicy
from orchestrator.model.validation import validate_task_def
from orchestrator.references import render
from orchestrator.schemas import SchemaLike, input_schema_of, output_schema_of, schema_def

if TYPE_CHECKING:
    from orchestrator.client.handles import TaskHandle

__all__ = [
    "BoundTask",
    "RateLimit",
    "RetryPolicy",
    "Task",
    "bind_input",
    "encode_output",
    "task",
    "tasks_in",
    "unique_tasks",
]

P = ParamSpec("P")
R = TypeVar("R")

Pool = Literal["thread", "process", "rq"]

_RESPONSE_TIMEOUT_S = 3600  # Conductor's default, shortened when the whole task may not take that long

_LOGIC = {
    "FIXED": RetryLogic.FIXED,
    "LINEAR": RetryLogic.LINEAR_BACKOFF,
    "EXPONENTIAL": RetryLogic.EXPONENTIAL_BACKOFF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and when a failed task is tried again; the defaults are those of every task definition.

    ``limit`` counts retries, so a task runs at most ``limit + 1`` times. FIXED waits ``delay_s``, LINEAR
    ``delay_s * scale * attempt``, EXPONENTIAL ``delay_s * 2^attempt``, each at most ``cap_s`` (0: no cap) plus up to
    ``jitter_s`` at random. Raises ``InvalidRequest`` for values without a meaning.
    Example: ``RetryPolicy(limit=5, logic="EXPONENTIAL", delay_s=2, cap_s=300)``
    """

    limit: int = 3
    logic: Literal["FIXED", "LINEAR", "EXPONENTIAL"] = "FIXED"
    delay_s: int = 60
    cap_s: int = 0
    jitter_s: float = 0.0
    scale: int = 1

    def __post_init__(self) -> None:
        if self.logic not in _LOGIC:
            raise InvalidRequest(f"retry logic {self.logic!r} is unknown: use FIXED, LINEAR or EXPONENTIAL")
        if self.scale != 1 and self.logic != "LINEAR":
            raise InvalidRequest(f"scale={self.scale} has an effect with LINEAR only, not with {self.logic}")

    def fields(self, whose: str) -> dict[str, Any]:
        """The fields of a task definition that say the same; ``whose`` stands in the message when they cannot."""
        return {
            "retry_count": self.limit,
            "retry_logic": _LOGIC[self.logic],
            "retry_delay_seconds": _whole(whose, "retry delay_s", self.delay_s),
            "max_retry_delay_seconds": _whole(whose, "retry cap_s", self.cap_s),
            "backoff_jitter_ms": round(self.jitter_s * 1000),
            "backoff_scale_factor": self.scale,
        }


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` starts of a task in any ``per_s`` seconds, over all workers. Example: ``RateLimit(100, 1)``.

    Raises ``InvalidRequest`` unless both are whole numbers from 1.
    """

    count: int
    per_s: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_s < 1 or self.per_s != int(self.per_s):
            raise InvalidRequest(f"RateLimit({self.count}, {self.per_s}): both must be whole numbers from 1")


class Task(Generic[P, R]):
    """A function with a name and a policy; made by ``@task``.

    ``name`` is the task type that workflows use and workers serve; ``pool`` is where a plain function runs (None for
    ``async def``, which runs on the worker's loop); ``domain`` the domain workers serve it in, None for the default.
    """

    def __init__(self, function: Callable[P, R], definition: TaskDef, *, domain: str | None, pool: Pool | None) -> None:
        self.function = function
        self.domain = domain
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        self.pool: Pool | None = None if self.is_async else pool or "thread"
        self._definition = definition
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The task type, by default the function's name."""
        return self._definition.name

    def definition(self) -> TaskDef:
        """The policy that is registered for this task. Example: ``greet.definition().retry_count``"""
        return self._definition

    @property
    def parameters(self) -> list[str]:
        """Names of the function's parameters, in order."""
        return list(inspect.signature(self.function).parameters)

    @property
    def location(self) -> str:
        """Where the function is written, for messages: ``app.tasks.greet (line 12)``."""
        function = inspect.unwrap(self.function)
        code = getattr(function, "__code__", None)
        line = f" (line {code.co_firstlineno})" if code is not None else ""
        return f"{function.__module__}.{function.__qualname__}{line}"

    @functools.cached_property
    def binding(self) -> Binding:
        """How stored inputs become arguments. Raises ``InvalidRequest`` when the signature cannot be filled from JSON.

        Computed at first use, when all types that the signature names exist.
        """
        return Binding(self.name, self.function)

    def with_options(
        self,
        *,
        delay_s: float | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        unique_key: str | None = None,
    ) -> BoundTask:
        """This task with options for its next enqueue, kept apart from its inputs.

        ``delay_s`` seconds from now or ``at`` a moment, not both; a larger ``priority`` is more urgent; a second
        enqueue with the same ``unique_key`` returns the first one's handle. Raises ``InvalidRequest``.
        Example: ``greet.with_options(delay_s=5).enqueue(name="Ada")``
        """
        if delay_s is not None and at is not None:
            raise InvalidRequest(f"task {self.name}: give delay_s or at, not both")
        return BoundTask(self, delay_s=delay_s, at=at, priority=priority, unique_key=unique_key)

    def enqueue(self, input: Mapping[str, Any] | None = None, /, **inputs: Any) -> TaskHandle:
        """Have a worker run this task once, through the default client; answers with its handle.

        Example: ``greet.enqueue(name="Ada").result(timeout_s=10)``
        """
        handle: TaskHandle = _default_client().enqueue(self, input, **inputs)
        return handle

    def __repr__(self) -> str:
        return f"<task {self.name} of {self.location}>"


@dataclass(frozen=True, slots=True)
class BoundTask:
    """A task together with options for enqueueing it; made by ``Task.with_options``."""

    task: Task[..., Any]
    delay_s: float | None = None
    at: datetime | None = None
    priority: int | None = None
    unique_key: str | None = None

    def options(self) -> dict[str, Any]:
        """The options that were given, by name, as the client's ``with_options`` takes them."""
        given = {name: getattr(self, name) for name in ("delay_s", "at", "priority", "unique_key")}
        return {name: value for name, value in given.items() if value is not None}

    def enqueue(self, input: Mapping[str, Any] | None = None, /, **inputs: Any) -> TaskHandle:
        """Like ``Task.enqueue``, with the options. Example: ``greet.with_options(priority=5).enqueue(name="Ada")``"""
        handle: TaskHandle = _default_client().with_options(**self.options()).enqueue(self.task, input, **inputs)
        return handle


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    retry: RetryPolicy | None = None,
    timeout_s: int = 0,
    response_timeout_s: int | None = None,
    poll_timeout_s: int | None = None,
    total_timeout_s: int = 0,
    timeout_policy: TimeoutPolicy | Literal["RETRY", "TIME_OUT_WF", "ALERT_ONLY"] = TimeoutPolicy.TIME_OUT_WF,
    concurrency: int | None = None,
    rate_limit: RateLimit | None = None,
    fairness_key: str | None = None,
    limit_key: str | None = None,
    input_template: Mapping[str, Any] | None = None,
    domain: str | None = None,
    pool: Pool | None = None,
    input_schema: SchemaLike | None = None,
    output_schema: SchemaLike | None = None,
    enforce_schema: bool | None = None,
    runtime_metadata: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    retry: RetryPolicy | None = None,
    timeout_s: int = 0,
    response_timeout_s: int | None = None,
    poll_timeout_s: int | None = None,
    total_timeout_s: int = 0,
    timeout_policy: str = TimeoutPolicy.TIME_OUT_WF,
    concurrency: int | None = None,
    rate_limit: RateLimit | None = None,
    fairness_key: str | None = None,
    limit_key: str | None = None,
    input_template: Mapping[str, Any] | None = None,
    domain: str | None = None,
    pool: Pool | None = None,
    input_schema: SchemaLike | None = None,
    output_schema: SchemaLike | None = None,
    enforce_schema: bool | None = None,
    runtime_metadata: Sequence[str] = (),
) -> Any:
    """Make a task of a plain ``def`` or an ``async def``; with or without arguments.

    Times are whole seconds and 0 is none: ``timeout_s`` from the start of an attempt (``timeout_policy`` says what it
    does), ``total_timeout_s`` over all attempts, ``poll_timeout_s`` until a worker takes it, ``response_timeout_s``
    between signs of life (default one hour, at most ``timeout_s``). ``concurrency`` and ``rate_limit`` hold over all
    workers. Tasks with different values of ``fairness_key``, an expression such as ``"${workflow.input.tenant}"``, take
    turns, and ``limit_key`` makes ``concurrency`` and ``rate_limit`` hold for each of its values. ``pool="process"``
    runs a plain function in a process of its own, ``"rq"`` in one that is forked for it alone and ends with it. Inputs
    and outputs are checked against ``input_schema`` and ``output_schema`` unless ``enforce_schema=False``;
    ``enforce_schema=True`` alone takes the schemas from the type hints. ``runtime_metadata`` names secrets and
    environment values that a running task finds in
    ``TaskContext.runtime_metadata``. Raises ``DefinitionInvalid`` or ``InvalidRequest`` where the function is written.
    Example: ``@task(retry=RetryPolicy(limit=5), concurrency=10)``
    """
    policy = retry or RetryPolicy()
    if response_timeout_s is None:
        response_timeout_s = min(_RESPONSE_TIMEOUT_S, timeout_s) if timeout_s > 0 else _RESPONSE_TIMEOUT_S

    def decorate(decorated: Callable[..., Any]) -> Task[..., Any]:
        task_name = name if name is not None else getattr(decorated, "__name__", "")
        schemas = schema_def(input_schema, f"{task_name}_input"), schema_def(output_schema, f"{task_name}_output")
        if enforce_schema and schemas == (None, None):
            schemas = input_schema_of(decorated, task_name), output_schema_of(decorated, task_name)
        definition = TaskDef(
            name=task_name,
            description=description,
            **policy.fields(f"task {task_name}"),
            timeout_seconds=_whole(f"task {task_name}", "timeout_s", timeout_s),
            timeout_policy=_timeout_policy(task_name, timeout_policy),
            response_timeout_seconds=_whole(f"task {task_name}", "response_timeout_s", response_timeout_s),
            poll_timeout_seconds=None
            if poll_timeout_s is None
            else _whole(f"task {task_name}", "poll_timeout_s", poll_timeout_s),
            total_timeout_seconds=_whole(f"task {task_name}", "total_timeout_s", total_timeout_s),
            input_template=render(dict(input_template or {}), "input_template"),
            concurrent_exec_limit=concurrency,
            rate_limit_per_frequency=rate_limit.count if rate_limit else 0,
            rate_limit_frequency_in_seconds=rate_limit.per_s if rate_limit else 1,
            input_schema=schemas[0],
            output_schema=schemas[1],
            runtime_metadata=list(runtime_metadata),
            fairness_key=fairness_key,
            limit_key=limit_key,
            enforce_schema=schemas != (None, None) if enforce_schema is None else enforce_schema,
        )
        _require_runnable(task_name, decorated, pool)
        problems = validate_task_def(definition)
        if problems:
            raise DefinitionInvalid(f"task {task_name}", problems)
        return Task(decorated, definition, domain=domain, pool=pool)

    return decorate if function is None else decorate(function)


def bind_input(
    task: Task[..., Any], data: Mapping[str, Any], context: TaskContext | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for one run of ``task`` from its stored input; see ``Binding`` for the rules.

    Raises ``InvalidPayload`` naming task, parameter and type.
    Example: ``args, kwargs = bind_input(greet, data, context)``
    """
    return task.binding(data, context)


def tasks_in(module: ModuleType) -> list[Task[..., Any]]:
    """Every task a module defines, imports, or uses in a workflow of its own, in order, each once.

    Raises ``DefinitionInvalid`` when two different functions claim one name. Example: ``tasks_in(app.tasks)``
    """
    from orchestrator.workflow import Workflow  # a workflow is written with tasks, so it imports this module

    found: list[Task[..., Any]] = []
    for value in list(vars(module).values()):
        if isinstance(value, Task):
            found.append(value)
        elif isinstance(value, Workflow):
            found.extend(value.tasks)
    return unique_tasks(found, f"module {module.__name__}")


def unique_tasks(tasks: list[Task[..., Any]], what: str) -> list[Task[..., Any]]:
    """``tasks`` without repetitions. Raises ``DefinitionInvalid`` naming both places when two share a name.

    ``what`` stands in the message for where they were found. Example: ``unique_tasks([greet, greet], "worker")``
    """
    by_name: dict[str, Task[..., Any]] = {}
    problems: list[Problem] = []
    for candidate in tasks:
        known = by_name.setdefault(candidate.name, candidate)
        if known is not candidate:
            places = f"{known.location} and {candidate.location}"
            problems.append(Problem(candidate.name, f"two tasks have this name: {places}; give one another with name="))
    if problems:
        raise DefinitionInvalid(what, problems)
    return list(by_name.values())


def _default_client() -> Any:
    # By name, because the client loads Redis and belongs to the floor above: writing tasks must not need either.
    return importlib.import_module("orchestrator.client").default_client()


def _whole(whose: str, option: str, seconds: float) -> int:
    if seconds != int(seconds):
        raise InvalidRequest(f"{whose}: {option}={seconds} must be a whole number of seconds")
    return int(seconds)


def _timeout_policy(task_name: str, policy: str) -> TimeoutPolicy:
    try:
        return TimeoutPolicy(policy)
    except ValueError:
        names = ", ".join(TimeoutPolicy)
        raise InvalidRequest(f"task {task_name}: timeout_policy={policy!r} is unknown: use one of {names}") from None


def _require_runnable(task_name: str, function: Callable[..., Any], pool: str | None) -> None:
    plain = inspect.unwrap(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise InvalidRequest(f"task {task_name} is a generator; a task returns one result")
    if pool not in (None, "thread", "process", "rq"):
        raise InvalidRequest(f"task {task_name}: pool={pool!r} is unknown: use 'thread', 'process' or 'rq'")
    if pool is not None and inspect.iscoroutinefunction(plain):
        raise InvalidRequest(f"task {task_name} is async and runs on the worker's loop; pool= is for plain functions")
    if pool in ("process", "rq") and "<locals>" in getattr(plain, "__qualname__", ""):
        raise InvalidRequest(f"task {task_name}: a process finds its function by name, so write it at module level")
