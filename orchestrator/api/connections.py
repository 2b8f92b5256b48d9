"""A client's connection: how long it may keep the server waiting, how long its header may be, how many there may be.

uvicorn waits for ever for a request that comes one byte a second and for a client that does not read its answer; here both
have their time. What is said in a request is no matter of this room, and it never looks into one. Called by ``process``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchestrator.api.errors import Refused, response_to

if sys.platform != "win32":
    import resource

log = logging.getLogger(__name__)

HEAD_BYTES_MAX = 64 * 1024
"""More than that is no path with its query and headers, and a header is kept in memory."""

REQUEST_S = 60.0
"""Within which a request has arrived in whole, counted from its first byte, or from when the connection was made."""

ANSWER_S = 60.0
"""Within which an answer has been taken by its client."""

REFUSED_S = 5.0
"""As ``REQUEST_S``, of a connection there is no room for."""

FILES_RESERVED = 320
"""File descriptors for all that is no client: connections to Redis, the archive, logs."""

WARN_EVERY_S = 10.0
UNLIMITED = sys.maxsize


class Reception:
    """Who may come in; one per server. ``connections_max``: so many connections there may be at once."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._warned_s = -WARN_EVERY_S

    def admits(self, connections: int, now_s: float) -> bool:
        """Whether there is room for the last of so many connections; the log says so when there is not."""
        if connections <= self._connections_max:
            return True
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning(
                "connections_refused",
                extra={
                    "connections_max": self._connections_max,
                    "advice": "raise the limit of open files (ulimit -Hn)",
                },
            )
        return False


def raise_file_limit() -> int:
    """Let this process open as many files as it may at all; gives for how many connections of clients that is enough."""
    if sys.platform == "win32":
        return UNLIMITED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS knows a limit that no process may have
        log.warning("file_limit_not_raised", extra={"files_max": soft})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNLIMITED if limit == resource.RLIM_INFINITY else max(limit // 2, limit - FILES_RESERVED)


class Connection(HttpToolsProtocol):
    """One connection under uvicorn; ``look`` at it every now and then ends it when its client takes too long."""

    def __init__(self, reception: Reception, **given: Any) -> None:
        super().__init__(**given)
        self._reception = reception
        self._is_refused = False
        self._has_begun = False
        self._head_bytes: int | None = 0  # None: the header of the request has come in whole
        self._asking_since_s: float | None = None
        self._untaken_since_s: float | None = None

    def look(self, now_s: float) -> None:
        """End the connection if its client has kept us waiting for too long."""
        if not self.transport.get_write_buffer_size():
            self._untaken_since_s = None
        elif self._untaken_since_s is None:
            self._untaken_since_s = now_s
        if _is_over(self._untaken_since_s, ANSWER_S, now_s):
            self.transport.abort()
        elif _is_over(self._asking_since_s, REFUSED_S if self._is_refused else REQUEST_S, now_s):
            self._give_up()

    # --- what uvicorn tells -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._asking_since_s = self.loop.time()
        if not self._reception.admits(len(self.connections), self._asking_since_s):
            self._is_refused = True
            self.app = _no_room

    def data_received(self, data: bytes) -> None:
        if self._asking_since_s is None:
            self._asking_since_s = self.loop.time()
        self._has_begun = True
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._end(Refused(431, f"path and headers are longer than the {HEAD_BYTES_MAX:,} bytes that they may have"))

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        self._has_begun = False
        self._asking_since_s = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._untaken_since_s = None
        if self._asking_since_s is not None:
            self._asking_since_s = self.loop.time()  # it was not read while another was answered

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # not close, which would wait for ever until the last answer has been read

    def send_400_response(self, msg: str) -> None:
        self._end(Refused(400, msg))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _give_up(self) -> None:
        is_answered = self.cycle is not None and self.cycle.response_started
        if not self._has_begun or self.transport.is_closing() or (is_answered and self._head_bytes is None):
            self.transport.abort()
        else:
            self._end(Refused(408, f"the request has not arrived in whole within {REQUEST_S:g} s"))

    def _end(self, refusal: Refused) -> None:
        """Say why, and close; an answer under way is cut off."""
        answer = response_to(refusal, "a request")
        lines = [STATUS_LINE[answer.status_code], *[b"%b: %b\r\n" % header for header in answer.raw_headers]]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", bytes(answer.body)]))
        self.transport.close()


def _is_over(since_s: float | None, limit_s: float, now_s: float) -> bool:
    return since_s is not None and now_s - since_s > limit_s


async def _no_room(scope: Any, receive: Any, send: Any) -> None:
    """The app of a connection that there is no room for."""
    refusal = Refused(503, "the server has as many connections as it may; repeat later", {"connection": "close"})
    await response_to(refusal, "a request")(scope, receive, send)
