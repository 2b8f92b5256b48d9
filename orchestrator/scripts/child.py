"""The inside of a script process: one request after the other, until its pipe is closed or it is killed.

It is started with nothing: no environment, no files, one socket. Before the first request it gives up what it could
still do: open a file or a connection, start a process, grow far beyond the memory of a script. What the limits do not
catch here (a loop in C code) the parent ends by killing the process.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module

from orchestrator.errors import MissingExtra
from orchestrator.scripts import javascript, jq, python
from orchestrator.scripts.limits import MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.messages import LENGTH, READY, Answer, Request, decode_request, encode
from orchestrator.scripts.python_values import Meter

SLACK_BYTES = 64 * 1024 * 1024
"""Beyond the script's own memory: the input and the result as text, and the interpreter's own."""


class Languages:
    """What this process can run. A JavaScript world is kept ready, since making one takes longer than most scripts."""

    def __init__(self) -> None:
        self._realm: javascript.Realm | None = None

    def run(self, request: Request) -> Answer:
        """Carry out one request."""
        runners: dict[str, Callable[[Request], str]] = {"javascript": self._javascript, "python": _python, "jq": _jq}
        runner = runners.get(request.language)
        if runner is None:
            return Answer("failed", f"scripts are javascript, python or jq, not {request.language}")
        try:
            return Answer("value", runner(request))
        except ScriptFailed as error:
            return Answer("failed", str(error))
        except TimeExceeded:
            return Answer("time")
        except (MemoryExceeded, MemoryError):
            return Answer("memory")
        except RecursionError:
            return Answer("failed", "The result nests too deeply")
        except MissingExtra as error:
            return Answer("missing", str(error))

    def prepare(self) -> None:
        """Make the next world; called when nobody waits."""
        if self._realm is None:
            with contextlib.suppress(MissingExtra):
                self._realm = javascript.Realm()

    def _javascript(self, request: Request) -> str:
        realm, self._realm = self._realm or javascript.Realm(), None
        return realm.evaluate(request.script, request.input_text, request.now_ms, request.seed, request.limits)


def _python(request: Request) -> str:
    limits, now_s = request.limits, time.process_time
    meter = Meter(None, limits.memory_bytes, now_s=now_s, stop_s=now_s() + limits.time_s)
    value = python.evaluate(request.script, json.loads(request.input_text), meter)
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ScriptFailed(f"The result cannot be stored: {error}") from None


def _jq(request: Request) -> str:
    return jq.encode(jq.evaluate(request.script, request.input_text))


def confine(memory_bytes: int) -> None:
    """Give up what no script needs. What a platform does not know is left out; what it refuses is an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    used = _address_space()
    if used:
        _limit(resource.RLIMIT_AS, used + memory_bytes + SLACK_BYTES)
    if hasattr(resource, "RLIMIT_NPROC"):
        _limit(resource.RLIMIT_NPROC, 0)
    # The last one: nothing can be opened any more, neither a file nor a connection.
    _limit(resource.RLIMIT_NOFILE, 3)


def _limit(kind: int, count: int) -> None:
    resource.setrlimit(kind, (count, count))


def _address_space() -> int:
    """How much address space the process has now; 0 where that cannot be told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def bound_cpu(time_s: float) -> None:
    """The system itself ends the process when this request takes far too much: for a parent that is not there to do it."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    allowed = math.ceil(spent.ru_utime + spent.ru_stime + time_s) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard))


def serve(pipe: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    languages = Languages()
    while True:
        languages.prepare()
        head = _exactly(pipe, LENGTH.size)
        body = _exactly(pipe, LENGTH.unpack(head)[0]) if head else b""
        if not body:
            return
        request: Request = decode_request(body)
        bound_cpu(request.limits.time_s)
        answer = encode(languages.run(request))
        pipe.sendall(LENGTH.pack(len(answer)) + answer)


def _exactly(pipe: socket.socket, count: int) -> bytes:
    """So many bytes, or none when the other side has gone."""
    pieces = bytearray()
    while len(pieces) < count:
        piece = pipe.recv(min(count - len(pieces), 1024 * 1024))
        if not piece:
            return b""
        pieces += piece
    return bytes(pieces)


def main() -> None:
    """Entry of the process: the pipe is its standard input, the argument is the memory of a script."""
    for engine in ("quickjs", "jq"):
        with contextlib.suppress(ImportError):
            import_module(engine)
    pipe = socket.socket(fileno=0)
    confine(int(sys.argv[1]))
    pipe.sendall(READY)
    serve(pipe)
