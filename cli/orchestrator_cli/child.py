"""One process of a ``dev``: how it starts, says that it is ready, is watched, started again and ended.

A role either tells that it is ready (one line of JSON on the descriptor ``--ready-fd``) or is asked. How long pauses
grow and which exit statuses mean "the user must mend something" stands here; what to do about all children together is
the supervisor's. Called by it alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator_cli.output import say

PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
STEADY_S = 10.0
FAILURES_MAX = 5
REFUSED = frozenset({2, 3, 4, 5, 6, 7})
"""Exit statuses that end a first start: usage, not found, conflict, no store, rights, invalid definition."""

MISTAKES = frozenset({2, 3, 7})
"""Those of them that only a change of the code can mend, once it has run."""


@dataclass(frozen=True)
class Role:
    """What a child is: its command line, how it is found to be ready, and how long it may take to end.

    ``asks`` waits until it answers; without it the child tells by itself. ``reloads``: a change of the code starts it
    anew. ``log_path`` is where it writes why it ended. ``passes`` are descriptors of ours that it goes on with.
    """

    name: str
    command: Callable[[], Sequence[str]]
    asks: Callable[[], Awaitable[None]] | None = None
    reloads: bool = False
    grace_s: float = 10.0
    log_path: Path | None = None
    passes: Sequence[int] = ()


class Nursery(Protocol):
    """Whom a child tells that it began, ended, or cannot go on."""

    def began(self, name: str, pid: int) -> None: ...

    def ended(self, name: str) -> None: ...

    def give_up(self, status: int) -> None: ...


class Child:
    """One role's process, over all its restarts. ``told`` is what it said when it was last ready."""

    def __init__(self, role: Role, environment: Mapping[str, str], nursery: Nursery) -> None:
        self.role = role
        self.ready = asyncio.Event()
        self.told: dict[str, Any] = {}
        self._environment = dict(environment)
        self._nursery = nursery
        self._process: asyncio.subprocess.Process | None = None
        self._is_wanted = True
        self._nudged = asyncio.Event()  # by a reload or the end: whatever keeps us from going on is over
        self._done = asyncio.Event()
        self._failures = 0

    # --- its life -----------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Start it, and again whenever it ends, until ``stop`` or until it cannot go on."""
        loop = asyncio.get_running_loop()
        try:
            while self._is_wanted:
                self._nudged.clear()
                began_s = loop.time()
                status = await self._live()
                if not self._is_wanted:
                    return
                if self._nudged.is_set():
                    continue
                if loop.time() - began_s > STEADY_S:
                    self._failures = 0
                self._failures += 1
                if not await self._recover(status):
                    return
        finally:
            self._done.set()

    async def _live(self) -> int:
        """One process, from its start to its end; its exit status."""
        told, tell = os.pipe()
        try:
            command = [*self.role.command()]
            if self.role.asks is None:
                command += ["--ready-fd", str(tell)]
            self._process = process = await spawn(command, self._environment, pass_fds=(tell, *self.role.passes))
        finally:
            os.close(tell)
        if not self._is_wanted:  # the end was called for while it was being started
            self._send(process, signal.SIGTERM)
        self._nursery.began(self.role.name, process.pid)
        watch = asyncio.create_task(self._become_ready(told))
        try:
            return await process.wait()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            os.close(told)
            self._process = None
            self._nursery.ended(self.role.name)

    async def _become_ready(self, told: int) -> None:
        if self.role.asks is not None:
            await self.role.asks()
        else:
            line = await _line(told)
            if not line:
                return  # it ended without a word; its exit status says why
            self.told = json.loads(line)
        self.ready.set()
        detail = self.told.get("detail", "")
        say(f"{self.role.name:<8} ready  {detail}".rstrip())

    async def _recover(self, status: int) -> bool:
        """After an end that nobody asked for: wait until another attempt makes sense; False when none does."""
        if not self.ready.is_set() and (status in REFUSED or self._failures >= FAILURES_MAX):
            say(f"{self.role.name:<8} {_how(status)}{self._last_words(status)}")
            self._nursery.give_up(status if status in REFUSED else 1)
            return False
        if self.role.reloads and status in MISTAKES:
            say(f"{self.role.name:<8} {_how(status)}; waiting for a change of the code")
            await self._nudged.wait()
            return True
        pause_s = min(PAUSE_S_MIN * 2 ** (self._failures - 1), PAUSE_S_MAX)
        say(f"{self.role.name:<8} {_how(status)}; starting it again in {pause_s:.1f} s{self._last_words(status)}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), pause_s)
        return True

    def _last_words(self, status: int) -> str:
        """The end of its log, unless a signal ended it, of which its log knows nothing."""
        if status < 0 or self.role.log_path is None or not self.role.log_path.exists():
            return ""
        lines = self.role.log_path.read_text(errors="replace").splitlines()[-5:]
        return "".join(f"\n  {line}" for line in [f"the end of {self.role.log_path}:", *lines])

    # --- its end ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End it for good: ask, and after its time of grace kill."""
        self._is_wanted = False
        self._nudged.set()
        await self._end(self._done.wait())

    async def reload(self) -> None:
        """End its process so that ``keep`` starts a new one at once; one that waits for a change goes on."""
        self._nudged.set()
        self._failures = 0
        process = self._process
        if process is not None:
            await self._end(process.wait())

    async def _end(self, gone: Awaitable[Any]) -> None:
        self._send(self._process, signal.SIGTERM)
        ending = asyncio.ensure_future(gone)
        done, _ = await asyncio.wait([ending], timeout=self.role.grace_s)
        if not done:
            say(f"{self.role.name:<8} did not end within {self.role.grace_s:g} s: killed")
            self._send(self._process, signal.SIGKILL)
            await ending

    def kill(self) -> None:
        """End its process now, for good."""
        self._is_wanted = False
        self._nudged.set()
        self._send(self._process, signal.SIGKILL)

    @staticmethod
    def _send(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


async def spawn(
    command: Sequence[str], environment: Mapping[str, str] | None, **options: Any
) -> asyncio.subprocess.Process:
    """Start a process that Ctrl-C does not reach, in our process group. Example: ``await spawn(["true"], None)``"""
    # A blocked signal stays blocked in the child, also in one that would install a handler of its own (as Valkey does).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        options.setdefault("stdin", asyncio.subprocess.DEVNULL)
        return await asyncio.create_subprocess_exec(*command, env=environment, **options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _line(descriptor: int) -> bytes:
    """What is written to the descriptor first; empty when its writers close it."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65_536)  # small, and written at once: one read gets all of it


def _how(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
