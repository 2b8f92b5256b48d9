"""Keeps the processes of a ``dev`` running: starts them in order, restarts what ends, ends all of them together.

A child that crashes is started again after a growing pause; one that says the user must mend something (its exit
status is that of a usage error) ends the ``dev`` at the start, and later waits for the next change of the code. Only
the supervisor hears Ctrl-C: children are born with SIGINT blocked, so that the worker can end before the store does.
All children stay in the supervisor's process group. Called by ``dev``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from orchestrator_cli.child import Child, Role, spawn
from orchestrator_cli.output import say

GUARDIAN = (sys.executable, "-P", "-m", "orchestrator_cli.guardian")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One run of a ``dev``. ``roles`` are started in their order and stopped in the reverse one.

    ``publish`` is told the children's process ids by role whenever they change; ``announce`` what each role said when
    all were ready for the first time; ``changes`` yields whenever the code changed.
    Example: ``status = asyncio.run(Supervisor(roles, environment, ...).run())``
    """

    def __init__(
        self,
        roles: Sequence[Role],
        environment: Mapping[str, str],
        *,
        publish: Callable[[dict[str, int]], None],
        announce: Callable[[dict[str, dict[str, Any]]], None],
        changes: AsyncIterator[Any] | None = None,
    ) -> None:
        self._children = [Child(role, environment, self) for role in roles]
        self._publish = publish
        self._announce = announce
        self._changes = changes
        self._stopping = asyncio.Event()
        self._status = 0
        self._signals = 0
        self._running: dict[str, int] = {}
        self._guardian: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run until a signal, or a child that cannot go on; the exit status."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        chores = [asyncio.create_task(self._guard())]
        keepers: list[asyncio.Task[None]] = []
        try:
            for child in self._children:
                keepers.append(asyncio.create_task(child.keep()))
                keepers[-1].add_done_callback(self._kept)
                await self._first(child.ready)
            if not self._stopping.is_set():
                self._announce({child.role.name: child.told for child in self._children})
                chores.append(asyncio.create_task(self._reload()))
            await self._stopping.wait()
        finally:
            for child in reversed(self._children[: len(keepers)]):
                await child.stop()
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*keepers, *chores, return_exceptions=True)
            await self._dismiss_guardian()
        for keeper in keepers:
            keeper.result()
        return self._status

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """A child is not kept any more: if that is because it could not even be started, nothing can go on."""
        if not keeper.cancelled() and keeper.exception() is not None:
            self._stopping.set()

    async def _first(self, event: asyncio.Event) -> None:
        """Until ``event``, or the end of all."""
        waits = [asyncio.create_task(one.wait()) for one in (event, self._stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # --- what the children tell ---------------------------------------------------------------------------------------

    def began(self, name: str, pid: int) -> None:
        """A child runs; whoever must end it if we are killed is told first."""
        self._running[name] = pid
        self._tell_guardian(f"+{pid}")
        self._publish(dict(self._running))

    def ended(self, name: str) -> None:
        """A child runs no more."""
        pid = self._running.pop(name, None)
        if pid is not None:
            self._tell_guardian(f"-{pid}")
            self._publish(dict(self._running))

    def give_up(self, status: int) -> None:
        """A child cannot go on, and without it nothing should; ``status`` is for the exit."""
        self._status = status or 1
        self._stopping.set()

    # --- signals ----------------------------------------------------------------------------------------------------

    def _signalled(self, number: int) -> None:
        self._signals += 1
        if self._signals == 1:
            say("Stopping (once more to stop at once)")
            self._stopping.set()
            return
        self._status = 128 + number
        for child in self._children:
            child.kill()

    # --- the guardian -------------------------------------------------------------------------------------------------

    async def _guard(self) -> None:
        """Keep a guardian: one that ends is replaced and told the whole list again."""
        while True:
            guardian = await spawn(GUARDIAN, None, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL)
            self._guardian = guardian
            for pid in self._running.values():
                self._tell_guardian(f"+{pid}")
            await guardian.wait()
            await asyncio.sleep(1.0)

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None and self._guardian.returncode is None:
            self._guardian.stdin.write(line.encode() + b"\n")

    async def _dismiss_guardian(self) -> None:
        if self._guardian is None or self._guardian.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._guardian.stdin.close()
            await self._guardian.stdin.wait_closed()
        await self._guardian.wait()

    # --- changes of the code ------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        if self._changes is None:
            return
        try:
            async for _ in self._changes:
                for child in self._children:
                    if child.role.reloads:
                        say(f"{child.role.name:<8} starts again: the code has changed")
                        await child.reload()
        except (OSError, RuntimeError) as error:  # too many folders for the system to watch, for one
            say(f"changes of the code are not followed any more: {error}")
