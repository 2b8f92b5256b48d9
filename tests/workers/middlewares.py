"""Middlewares for tests; at module level, because tasks in other processes find them by import."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from orchestrator.context import TaskContext

Steps = Generator[None, Any, None]


def outer(context: TaskContext, input: dict[str, Any]) -> Steps:
    context.log("outer before")
    result = yield
    context.log(f"outer after {result}")


async def inner(context: TaskContext, input: dict[str, Any]) -> AsyncGenerator[None, Any]:
    context.log(f"inner before {input}")
    try:
        yield
    except Exception as error:
        context.log(f"inner error {error!r}")
        raise
    context.log("inner after")


def greets_everybody(context: TaskContext, input: dict[str, Any]) -> Steps:
    input["word"] = "hi, everybody"
    yield


def refuses(context: TaskContext, input: dict[str, Any]) -> Steps:
    raise PermissionError("not you")
    yield


def spoils(context: TaskContext, input: dict[str, Any]) -> Steps:
    yield
    raise ValueError("spoiled afterwards")


not_a_middleware = 3
