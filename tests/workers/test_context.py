"""The context by itself: identity, log, heartbeat, where it is found."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any

import pytest

from orchestrator.context import InProgress, TaskContext, enter, in_progress
from orchestrator.errors import InvalidRequest


def made(**options: Any) -> TaskContext:
    return TaskContext("w1-abcdefghijkl", "w1", "order", "charge", "charge", **options)


def test_outside_of_a_task_there_is_no_current_context() -> None:
    with pytest.raises(InvalidRequest, match="no task is running here"):
        TaskContext.current()


def test_the_current_context_follows_into_threads_with_a_copied_context() -> None:
    context, found = made(), []

    def in_a_task() -> None:
        enter(context)
        thread = threading.Thread(target=copy_context().run, args=(lambda: found.append(TaskContext.current()),))
        thread.start()
        thread.join()

    copy_context().run(in_a_task)
    assert found == [context]


async def test_tasks_of_one_loop_do_not_see_each_others_context() -> None:
    async def seen(context: TaskContext) -> bool:
        enter(context)
        await asyncio.sleep(0)
        return TaskContext.current() is context

    assert await asyncio.gather(*(seen(made()) for _ in range(3))) == [True, True, True]


def test_the_idempotency_key_is_the_same_for_every_attempt_and_delivery() -> None:
    assert made(attempt=0, delivery=1).idempotency_key == made(attempt=2, delivery=7).idempotency_key
    assert made(iteration=1).idempotency_key != made(iteration=2).idempotency_key
    assert made(generation=1).idempotency_key != made(generation=2).idempotency_key


def test_log_lines_carry_the_time_and_are_bounded() -> None:
    context = made(now_ms=lambda: 42)
    context.log("a\ud800b" + "x" * 5_000)
    ((at_ms, text),) = context.logs
    assert (at_ms, len(text), text[:3]) == (42, 4_000, "a?b")
    for _ in range(2_000):
        context.log("line")
    assert len(context.logs) == 1_000
    chatty = made()
    for _ in range(100):
        chatty.log("y" * 4_000)
    assert len(chatty.logs) == 25


def test_a_heartbeat_is_passed_on_to_whoever_runs_the_task() -> None:
    beats: list[TaskContext] = []
    context = made(beat=beats.append)
    context.heartbeat()
    assert beats == [context]
    made().heartbeat()
    assert len(beats) == 1


@pytest.mark.parametrize("delay_s", [-1, float("inf"), float("nan")])
def test_a_callback_delay_must_be_a_number_of_seconds(delay_s: float) -> None:
    with pytest.raises(InvalidRequest, match="callback_after_s"):
        in_progress(delay_s)


def test_in_progress_may_be_raised_too() -> None:
    with pytest.raises(InProgress, match="again in 5 s"):
        raise in_progress(5, output={"percent": 10})
