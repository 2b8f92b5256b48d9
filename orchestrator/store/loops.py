"""One thing per event loop: connections of asyncio work in the loop that they were opened in, and in no other.

Called by whoever keeps such connections for a program that may have one loop after the other, or fork.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from orchestrator.errors import InvalidRequest

T = TypeVar("T")


class OfLoop(Generic[T]):
    """What ``make`` gives, made when a loop first asks for it; made anew when that loop has ended, or in a forked child.

    Example: ``clients = OfLoop(httpx2.AsyncClient); clients.get()``
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: tuple[int, asyncio.AbstractEventLoop, T] | None = None
        self._of_parents: list[T] = []

    def get(self) -> T:
        """That of the running loop. Raises ``InvalidRequest`` while another loop that goes on has it."""
        loop, pid = asyncio.get_running_loop(), os.getpid()
        if self._held is not None:
            its_pid, its_loop, thing = self._held
            if its_pid != pid:
                # Not given up: closing it in the child would take the sockets out of the parent's loop.
                self._of_parents.append(thing)
            elif its_loop is loop:
                return thing
            elif not its_loop.is_closed():
                raise InvalidRequest(
                    "this AsyncClient is in use in another event loop, which has not ended; make one for each loop"
                )
        thing = self._make()
        self._held = pid, loop, thing
        return thing

    def taken(self) -> T | None:
        """That of the running loop, given up by this; ``None`` if there is none."""
        held, self._held = self._held, None
        if held is None or held[0] != os.getpid() or held[1] is not asyncio.get_running_loop():
            return None
        return held[2]
