"""The other side of an HTTP task: a real server on a loopback port that answers byte for byte what a test says.

Each path has a behaviour: bytes that are sent as they are, or a function that gets the request and the socket and may
hang, dribble or break off. What was asked is kept. Everything ends with the ``with`` block.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self


class Asked(NamedTuple):
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = bytes | Callable[[Asked, socket.socket], None]


def answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    """An answer with the right length. Example: ``answer(b"{}", "201 Created", "X-Id: 7")``"""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Peer:
    """Example: ``with Peer({"/pay": answer(b"{}")}) as peer: call(peer.url("/pay")); assert peer.asked[0].body == ...``"""

    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.behaviours = behaviours
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, path: str) -> str:
        """The address of a path under a public name; ``hosts`` says where that name leads."""
        return f"http://peer.example{path}"

    @property
    def hosts(self) -> str:
        """For the setting ``http_hosts``."""
        return f"peer.example=127.0.0.1:{self.port}"

    def hang(self, asked: Asked, connection: socket.socket) -> None:
        """A behaviour: never answer."""
        self._ending.wait()

    def is_ending(self) -> bool:
        """Whether a behaviour that goes on for ever should stop."""
        return self._ending.is_set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while (first := stream.readline().decode()) and not self._ending.is_set():
                method, path, _ = first.split(" ", 2)
                headers = {}
                while (line := stream.readline().decode().strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", "0")))
                asked = Asked(method, path, headers, body)
                self.asked.append(asked)
                behaviour = self.behaviours[path.partition("?")[0]]
                if isinstance(behaviour, bytes):
                    connection.sendall(behaviour)
                else:
                    behaviour(asked, connection)
                    connection.shutdown(socket.SHUT_RDWR)
                    return
