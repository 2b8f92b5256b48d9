"""Retry an assertion until it holds or a deadline passes: the only place in the tests that sleeps.

For facts that another process or thread makes true. Whatever a manual clock can drive does not belong here. Called by
tests and by the other support modules; never by the product.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")

PAUSE_S = 0.02


def eventually(
    check: Callable[[], Result],
    timeout_s: float = 10.0,
    *,
    retry_on: tuple[type[BaseException], ...] = (AssertionError,),
) -> Result:
    """Call ``check`` until it neither raises ``retry_on`` nor returns False; give what it returned.

    A returned False counts as a failed assertion, so that a bare comparison in a lambda is not a test that cannot
    fail. At the deadline (``timeout_s`` seconds) the last error is raised as it is.
    Example: ``eventually(lambda: handle.status() == "COMPLETED", timeout_s=5)``
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _not_false(check())
        except retry_on:
            if time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_S)


async def eventually_async(
    check: Callable[[], Awaitable[Result]],
    timeout_s: float = 10.0,
    *,
    retry_on: tuple[type[BaseException], ...] = (AssertionError,),
) -> Result:
    """As ``eventually``, for a check that is awaited; the event loop runs on between the attempts.

    Example: ``await eventually_async(lambda: queue_is_empty(client))``
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _not_false(await check())
        except retry_on:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_S)


def _not_false(result: Result) -> Result:
    if result is False:
        raise AssertionError("the check still returned False when the time was up")
    return result
