"""What a team puts around every task of a worker: generator functions that see its input, its result and its errors.

    def timed(context, input):
        began_s = time.monotonic()
        try:
            yield                       # here the task runs; ``result = yield`` is what it returns
        finally:
            seconds.labels(context.task_type).observe(time.monotonic() - began_s)

The first one is the outermost. One that raises fails the attempt, under its own name; none can hide an error (0045). Called
by ``calling``, where a task's code runs: on the loop, in a thread, in a child process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from orchestrator.context import InProgress, TaskContext

T = TypeVar("T")

Around = Generator[None, Any, None] | AsyncGenerator[None, Any]
Middleware = Callable[[TaskContext, dict[str, Any]], Around]
"""A generator function, plain or async, with one ``yield``. What it changes in the input is what the task gets."""


class MiddlewareFailed(Exception):
    """A middleware raised ``error``, which is the attempt's now."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name = name
        self.error = error
        super().__init__(f"middleware {name}: {error}")


def name_of(middleware: object) -> str:
    """How a middleware is called in messages."""
    return str(getattr(middleware, "__name__", repr(middleware)))


async def around(
    middleware: Sequence[Middleware],
    context: TaskContext,
    input: dict[str, Any],
    call: Callable[[], Coroutine[Any, Any, Any]],
) -> Any:
    """What ``call`` returns, within the middlewares; raises what it raises, or ``MiddlewareFailed``."""
    return await _within([_layer(one, context, input) for one in middleware], call)


def around_plain(
    middleware: Sequence[Middleware], context: TaskContext, input: dict[str, Any], call: Callable[[], T]
) -> T:
    """The same for a plain function, in the thread it runs in: async middlewares get a loop of their own there."""

    async def called() -> T:
        return call()

    layers = [_layer(one, context, input) for one in middleware]
    if not any(isinstance(layer, _AsyncLayer) for layer in layers):
        return _driven(_within(layers, called))
    with asyncio.Runner() as runner:
        return _driven(_within([_OnRunner(layer, runner) for layer in layers], called))


class _Layer(Protocol):
    """One middleware around one attempt."""

    name: str

    async def begin(self) -> None: ...
    async def end(self, result: Any) -> None: ...
    async def fail(self, error: BaseException) -> None: ...


class _PlainLayer:
    def __init__(self, name: str, generator: Generator[None, Any, None]) -> None:
        self.name = name
        self._generator = generator

    async def begin(self) -> None:
        try:
            next(self._generator)
        except StopIteration:
            raise RuntimeError("it must yield once, and did not") from None

    async def end(self, result: Any) -> None:
        with suppress(StopIteration):
            self._generator.send(result)
            raise RuntimeError("it must yield once, and did so again")

    async def fail(self, error: BaseException) -> None:
        with suppress(StopIteration):
            self._generator.throw(error)
            raise RuntimeError("it must yield once, and did so again") from error


class _AsyncLayer:
    def __init__(self, name: str, generator: AsyncGenerator[None, Any]) -> None:
        self.name = name
        self._generator = generator

    async def begin(self) -> None:
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            raise RuntimeError("it must yield once, and did not") from None

    async def end(self, result: Any) -> None:
        with suppress(StopAsyncIteration):
            await self._generator.asend(result)
            raise RuntimeError("it must yield once, and did so again")

    async def fail(self, error: BaseException) -> None:
        with suppress(StopAsyncIteration):
            await self._generator.athrow(error)
            raise RuntimeError("it must yield once, and did so again") from error


class _OnRunner:
    """A layer of a plain function: it is done on the loop before the function goes on, which runs beside that loop."""

    def __init__(self, layer: _Layer, runner: asyncio.Runner) -> None:
        self.name = layer.name
        self._layer = layer
        self._run = runner.run if isinstance(layer, _AsyncLayer) else _driven

    async def begin(self) -> None:
        self._run(self._layer.begin())

    async def end(self, result: Any) -> None:
        self._run(self._layer.end(result))

    async def fail(self, error: BaseException) -> None:
        self._run(self._layer.fail(error))


async def _within(layers: Sequence[_Layer], call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    entered: list[_Layer] = []
    failed: BaseException | None = None
    culprit = ""
    result: Any = None
    try:
        for layer in layers:
            culprit = layer.name
            await layer.begin()
            entered.append(layer)
        culprit = ""
        result = await call()
    except InProgress as unfinished:
        if culprit:
            failed = unfinished
        result = unfinished  # raised or returned, it is what came of the task, not an error
    except BaseException as error:
        failed = error
    while entered:
        layer = entered.pop()
        try:
            if failed is None:
                await layer.end(result)
            else:
                await layer.fail(failed)
        except BaseException as error:
            if error is not failed:
                failed, culprit = error, layer.name
    if failed is None:
        return result  # type: ignore[no-any-return]
    if culprit and isinstance(failed, Exception):
        raise MiddlewareFailed(culprit, failed) from failed
    raise failed


def _layer(middleware: Middleware, context: TaskContext, input: dict[str, Any]) -> _PlainLayer | _AsyncLayer:
    made = middleware(context, input)
    if isinstance(made, Generator):
        return _PlainLayer(name_of(middleware), made)
    return _AsyncLayer(name_of(middleware), made)


def _driven(steps: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError("a plain function's surroundings cannot wait")
