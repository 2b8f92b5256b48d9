"""A TCP connection in the middle, at which a test can keep back what comes from behind: an answer that gets lost.

Whatever goes towards the target passes. Behind the request that holds some marked bytes nothing comes back any more, so what it
asks for has happened and whoever asked does not learn of it. Stands in front of a server or of Redis.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

CHUNK = 65_536


class WireProxy:
    """Passes connections on to ``target``. Example: ``with WireProxy(("127.0.0.1", 6379)) as proxy: proxy.hold(b"PING")``"""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._mark: bytes | None = None
        self._is_holding = False
        self._held = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens, on this machine."""
        port: int = self._listening.getsockname()[1]
        return port

    def hold(self, mark: bytes) -> None:
        """Keep back, for good, all that comes from the target once a request with these bytes has passed."""
        self._mark = mark

    def wait_held(self, timeout_s: float = 10.0) -> None:
        """Until the answer to that request is here."""
        assert self._held.wait(timeout_s), "nothing came back from the target"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            for one in (self._listening, *self._sockets):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                with self._lock:
                    self._sockets += [near, far]
                threading.Thread(target=self._ask, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(CHUNK):
                if self._mark is not None and self._mark in data:
                    self._is_holding = True
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(CHUNK):
                if self._is_holding:
                    self._held.set()
                else:
                    near.sendall(data)
            near.shutdown(socket.SHUT_WR)
