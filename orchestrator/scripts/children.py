"""The processes that scripts run in, seen from outside: started with nothing, asked one thing at a time, killed when late.

A child that does not answer in time, dies or runs out of memory costs the script that was running, never its parent: it
is killed and another is started. Used by ``evaluator`` (one child, tiny limits) and by the task functions of the
system-task role (a few children, full limits).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

from orchestrator.scripts.limits import FULL
from orchestrator.scripts.messages import LENGTH, READY, Answer, Request, decode_answer, encode

START_S = 10.0
"""How long a new process may take to be ready."""

GRACE_S = 0.25
"""How much longer than its limit a request may take before its process is killed: it should have stopped by itself."""

STARVED_SHARE = 1 / 8
STARVED_TIMES = 4
"""A script that has had less than this share of its limit of the processor was not slow, it was not let: it may take this many
times its limit."""

PROCESSES = 4
"""So many scripts run at a time for the tasks of one process; the others wait."""

NICENESS = 10
"""Scripts of tasks give way to everything else on the machine. A quick one still gets its tenth of a busy one."""

PATIENCE_S = 0.25
"""A script that takes longer gives way altogether: it may be one that never ends."""

_START = """
import os, sys
os.nice(int(sys.argv.pop()))  # before anything else: even its start gives way
sys.path[:] = sys.argv.pop().split("\\n")
from orchestrator.scripts.child import main
main()
"""


class Child:
    """One script process. Not for two threads at once."""

    def __init__(self, memory_bytes: int, niceness: int = NICENESS) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-c", _START, str(memory_bytes), "\n".join(sys.path), str(niceness)]
        try:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,  # see _set_niceness_of_session
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        self._pipe = ours
        self._received = bytearray()
        self._is_ready = False
        self.has_given_way = False
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end, process, ours, self._owner)
        self._set_niceness_of_session(niceness)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked: it lives, and is not a forked parent's."""
        return self._finalizer.alive and self._owner == os.getpid() and self._process.poll() is None

    @property
    def cpu_s(self) -> float | None:
        """How much processor time it has had; None where that cannot be told."""
        try:
            return time.clock_gettime((~self.pid << 3) | 2)  # Linux: the processor clock of another process
        except (OSError, OverflowError, AttributeError):
            return None

    def is_ready(self, wait_s: float) -> bool:
        """Whether it has started; waits for that up to ``wait_s``."""
        if not self._is_ready:
            self._pipe.settimeout(wait_s)
            try:
                self._is_ready = self._pipe.recv(1) == READY
            except OSError:
                return False
        return self._is_ready

    def send(self, request: Request) -> None:
        """Give it a script to run; ``receive`` tells what comes of it."""
        body = encode(request)
        self._received.clear()
        try:
            self._pipe.settimeout(START_S)
            self._pipe.sendall(LENGTH.pack(len(body)) + body)
        except OSError:
            self.close()

    def receive(self, within_s: float) -> Answer | None:
        """The answer, if it comes within this time; a process that dies instead is closed, and that is the answer."""
        stop_s = time.monotonic() + within_s
        try:
            while (answer := self._whole_answer()) is None:
                self._pipe.settimeout(max(stop_s - time.monotonic(), 0.001))
                piece = self._pipe.recv(1024 * 1024)
                if not piece:
                    return self._died()
                self._received += piece
        except TimeoutError:
            return None
        except OSError:
            return self._died()
        return answer

    def _whole_answer(self) -> Answer | None:
        got = self._received
        if len(got) < LENGTH.size or len(got) < LENGTH.size + LENGTH.unpack_from(got)[0]:
            return None
        return decode_answer(got[LENGTH.size :])

    def give_way(self) -> None:
        """From now on it runs when nobody else wants to; there is no way back."""
        self.has_given_way = True
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, 19)
        self._set_niceness_of_session(19)

    def _set_niceness_of_session(self, niceness: int) -> None:
        """Linux may share the processor out among sessions first (autogroups) and heeds niceness only within each: in its
        parent's session, a script would take from the store and the workers as much as its parent may."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/autogroup", "w", encoding="ascii") as file:
            file.write(str(niceness))

    def _died(self) -> Answer:
        """The process ended by itself, which it does for two reasons: the system's limit of time, and memory."""
        try:
            code = self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            code = 0
        self.close()
        return Answer("time" if code == -signal.SIGXCPU else "memory")

    def close(self) -> None:
        """Kill the process."""
        self._finalizer()


def _end(process: subprocess.Popen[bytes], pipe: socket.socket, owner: int) -> None:
    pipe.close()
    if owner == os.getpid():
        process.kill()
        process.wait()
    else:
        process.returncode = 0  # a forked copy: the process is another's


class Children:
    """A few script processes, started when first needed. Safe for threads: who finds all busy waits for one."""

    def __init__(self, count: int, memory_bytes: int = FULL.memory_bytes) -> None:
        self._memory_bytes = memory_bytes
        self._idle: list[Child] = []
        self._places = threading.Semaphore(count)
        self._lock = threading.Lock()
        self._is_closed = False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="scripts")

    async def answer(self, request: Request) -> Answer:
        """``ask``, for an event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.ask, request)

    def ask(self, request: Request) -> Answer:
        """Run a script within its limits, whatever it does. Raises ``OSError`` when no process can be started."""
        with self._places:
            child = self._take()
            try:
                if not child.is_ready(START_S):
                    raise OSError(f"a script process was not ready within {START_S:g} seconds")
                return self._answer(child, request)
            except BaseException:
                child.close()
                raise
            finally:
                self._give_back(child)

    def _answer(self, child: Child, request: Request) -> Answer:
        limit_s, began_s, began_cpu_s = request.limits.time_s, time.monotonic(), child.cpu_s
        child.send(request)
        while (answer := child.receive(PATIENCE_S)) is None:
            child.give_way()  # each time: the system refuses this when it is asked often
            took_s = time.monotonic() - began_s
            had_s = took_s if began_cpu_s is None else (child.cpu_s or took_s) - began_cpu_s
            is_starved = had_s < limit_s * STARVED_SHARE and took_s < limit_s * STARVED_TIMES
            if took_s > limit_s + GRACE_S and not is_starved:
                child.close()
                return Answer("time")
        return answer

    def _take(self) -> Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_usable:
                    return child
        return Child(self._memory_bytes)

    def _give_back(self, child: Child) -> None:
        with self._lock:
            if child.is_usable and not child.has_given_way and not self._is_closed:
                self._idle.append(child)
            else:
                child.close()

    def close(self) -> None:
        """End all processes; one that is at work ends with its request."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        self._threads.shutdown(wait=False)
        for child in idle:
            child.close()


@functools.cache
def shared() -> Children:
    """The script processes of this process, for its system tasks. They end with it."""
    return Children(PROCESSES)
