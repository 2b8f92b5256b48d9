"""One pooled HTTP client of a process whose every step is bounded: where it connects, how long it takes, what it reads.

Redirects are followed for GET and HEAD only, each through the guard again. A body is read up to the setting
``http_response_bytes_max`` after decompression, so neither an endless stream nor a compressed bomb can fill the memory.
No proxy of the environment is used: it would look the names up where the guard cannot see. Loads ``httpx2`` when it is
made. Called by the system tasks that talk HTTP.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore2
import httpx2

from orchestrator.settings import Settings
from orchestrator.systemtasks.guard import Guard, Refusal

CONNECTIONS_MAX = 200
CONNECTIONS_KEPT = 50
_FOLLOWED = frozenset({"GET", "HEAD"})
_CARRIED = frozenset({"host", "accept", "accept-encoding", "user-agent"})
"""What is sent on when a redirect leads to another host."""


class Request(NamedTuple):
    """One call: ``connect_s`` and ``read_s`` bound its steps, ``total_s`` all of it."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    content: bytes | None
    connect_s: float
    read_s: float
    total_s: float


class Answer(NamedTuple):
    """What came back, its body decompressed."""

    status: int
    phrase: str
    headers: list[tuple[str, str]]
    body: bytes
    charset: str | None

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300


class CallFailed(Exception):
    """There is no answer; the text says why. ``is_final``: another attempt would end the same."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class HostBusy(Exception):
    """As many calls of this host are under way as may be; nothing was sent."""


class HttpClient:
    """The client of one process and event loop; ``per_host``: so many calls of one host at a time, or ``HostBusy``.

    Example: ``answer = await HttpClient(settings, per_host=50).call(request)``
    """

    def __init__(self, settings: Settings, per_host: int) -> None:
        self._settings = settings
        self._per_host = per_host
        self._calls: dict[str, int] = {}
        self._client = httpx2.AsyncClient(
            transport=_GuardedTransport(Guard(settings)),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # what one workflow is given, no other sends
            headers={"user-agent": "redis-orchestrator", "accept-encoding": "gzip, deflate"},
        )

    async def call(self, request: Request) -> Answer:
        """Send a request and read its answer, whatever its status. Raises ``CallFailed`` and ``HostBusy``."""
        host = urlsplit(request.url).netloc.rpartition("@")[2].lower()
        if self._calls.get(host, 0) >= self._per_host:
            raise HostBusy
        self._calls[host] = self._calls.get(host, 0) + 1
        try:
            return await self._bounded(request)
        finally:
            self._calls[host] -= 1
            if not self._calls[host]:
                del self._calls[host]

    async def _bounded(self, request: Request) -> Answer:
        try:
            async with asyncio.timeout(request.total_s):
                return await self._call(request)
        except TimeoutError:
            raise CallFailed(f"the call took longer than {request.total_s:g} s in all") from None
        except Refusal as refusal:
            raise CallFailed(str(refusal), is_final=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError, OSError) as error:
            raise CallFailed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error

    async def _call(self, request: Request) -> Answer:
        timeout = httpx2.Timeout(request.read_s, connect=request.connect_s, pool=request.total_s)
        sent = self._client.build_request(
            request.method, request.url, headers=request.headers, content=request.content, timeout=timeout
        )
        response = await self._answer(sent, follows=request.method in _FOLLOWED)
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        headers = [(name.decode("ascii", "replace"), _text(value)) for name, value in response.headers.raw]
        return Answer(response.status_code, response.reason_phrase, headers, body, response.charset_encoding)

    async def _answer(self, sent: httpx2.Request, *, follows: bool) -> httpx2.Response:
        """The last answer of a chain of redirects, its body unread. The bodies of those before it never are."""
        for _ in range(self._settings.http_redirects_max + 1):
            # Not by the library, which reads what a redirect says besides, however much that is.
            response = await self._client.send(sent, stream=True, follow_redirects=False)
            following = response.next_request if follows else None
            if following is None:
                return response
            await response.aclose()
            if following.url.origin != sent.url.origin:
                # Keys and tokens are meant for the host they were written for.
                for name in [name for name in following.headers if name not in _CARRIED]:
                    del following.headers[name]
            sent = following
        raise CallFailed(f"redirected more than {self._settings.http_redirects_max} times")

    async def _read(self, response: httpx2.Response) -> bytes:
        limit = self._settings.http_response_bytes_max
        inflate = _inflater(response.headers.get("content-encoding", ""))
        parts, size = [], 0
        async for part in response.aiter_raw():
            plain = part if inflate is None else _inflated(inflate, part, limit + 1 - size)
            parts.append(plain)
            size += len(plain)
            if size > limit:
                raise CallFailed(
                    f"the answer is longer than {limit:,} bytes, the setting http_response_bytes_max", is_final=True
                )
        if inflate is not None and parts and not inflate.eof:
            raise CallFailed("the compressed answer ends too early")
        return b"".join(parts)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """The ordinary transport, but its pool connects through the guard."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(trust_env=False)
        # The library has no public way to give its pool another network; a pool of our own is what it would make.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_KEPT,
            keepalive_expiry=30.0,
            network_backend=_GuardedNetwork(guard),
        )


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Resolves names itself, has every address judged, and connects to one of just those addresses."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to ``host``. Raises ``Refusal`` when any of its addresses is not to be reached."""
        addresses, port = await self._places(host, port, timeout)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def _places(self, host: str, port: int, timeout: float | None) -> tuple[list[str], int]:
        placed = self._guard.place_of(host)
        if placed is not None:
            return [placed[0]], placed[1]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._guard.check(host, address)
        return addresses, port


def _inflater(encoding: str) -> Any:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":
            return zlib.decompressobj()
    raise CallFailed(f"the answer has the content encoding {encoding!r}, which was not asked for")


def _inflated(inflate: Any, part: bytes, room: int) -> bytes:
    try:
        plain: bytes = inflate.decompress(part, max(room, 1))
    except zlib.error as error:
        raise CallFailed(f"the compressed answer is damaged: {error}") from error
    return plain


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
