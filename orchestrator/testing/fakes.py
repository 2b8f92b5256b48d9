"""Stand-ins for tasks: a function, a list of what happens one after the other, or simply what comes out.

Whatever a test gives becomes a task of the wanted name, so that it runs, fails and is retried like the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.errors import InvalidRequest, TerminalError
from orchestrator.model.definitions import TaskDef
from orchestrator.task import Task


def fake_task(name: str, fake: Any) -> Task[..., Any]:
    """The task that stands in for ``name``.

    A task or function is called with the inputs that its parameters name. A list has one outcome for each call: values
    are returned, exceptions raised, functions called. Anything else is returned every time.
    Example: ``fake_task("charge", [TimeoutError("bank is closed"), {"id": 7}])``
    """
    if isinstance(fake, Task):
        return Task(fake.function, TaskDef(name=name), domain=fake.domain, pool=None)
    if isinstance(fake, list):
        return _task(name, _Sequence(name, fake))
    if isinstance(fake, type | BaseException) or not callable(fake):
        return _task(name, lambda: _come_out(fake, {}))
    return _task(name, fake)


class _Sequence:
    """A function whose calls end one after the other as listed."""

    def __init__(self, name: str, outcomes: list[Any]) -> None:
        self._name = name
        self._outcomes = list(outcomes)
        self._calls = 0

    def __call__(self, **inputs: Any) -> Any:
        self._calls += 1
        if self._calls > len(self._outcomes):
            raise TerminalError(
                f"the fake of task {self._name} was called {self._calls} times and has {len(self._outcomes)} outcomes; "
                "give it more, or a function"
            )
        return _come_out(self._outcomes[self._calls - 1], inputs)


def _come_out(outcome: Any, inputs: dict[str, Any]) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    if isinstance(outcome, type) and issubclass(outcome, BaseException):
        raise outcome()
    if callable(outcome):
        task = _task("outcome", outcome)
        args, kwargs = task.binding(inputs, None)
        return task.function(*args, **kwargs)
    return outcome


def _task(name: str, function: Callable[..., Any]) -> Task[..., Any]:
    task = Task(function, TaskDef(name=name), domain=None, pool=None)
    try:
        _ = task.binding
    except (InvalidRequest, ValueError):  # mocks and builtins have no signature to go by: they get everything
        return Task(_taking_everything(function), TaskDef(name=name), domain=None, pool=None)
    return task


def _taking_everything(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(**inputs: Any) -> Any:
        return function(**inputs)

    return call
