"""Packed commands over one pooled connection: the thinnest path to a server that redis-py's public parts allow.

``Redis.pipeline()`` spends more time per command on callbacks, retries and metrics than Redis spends on a small script,
so this room packs all commands at once, sends them in one write and reads the replies in order. An error reply stays in
its place; a lost connection raises, because then nobody knows which commands ran. Nothing is retried here: a script is
repeated by whoever knows that repeating it is safe. Called by the executors only.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import redis
import redis.asyncio

from orchestrator.errors import StoreUnavailable
from orchestrator.plan import Argument


def _pack_in_python(words: tuple[Argument, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


WARM_S = 1.0
"""How long after its last use a connection is taken to be alive without asking."""

_pack: Callable[[tuple[Any, ...]], bytes]
try:
    import hiredis
except ImportError:
    _pack = _pack_in_python
else:
    _pack = hiredis.pack_command


class Request(NamedTuple):
    """One command: ``route`` is the key that says which node of a cluster runs it ('' = any)."""

    route: str
    words: Sequence[Argument]
    is_barrier: bool = False


class _Warm(NamedTuple):
    """A connection between two exchanges: the process it belongs to and when it was used."""

    pid: int
    used_s: float
    connection: Any


class _Underway(NamedTuple):
    """What was sent on a connection and not yet answered: ``size`` commands."""

    connection: Any
    size: int


class SyncWire(Protocol):
    """What the sync executor needs: send requests, get their replies in order, error replies in place."""

    def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send all, read all; raises the client's connection errors."""

    def send(self, requests: Sequence[Request]) -> Any:
        """Send all and give a token for their replies; raises the client's connection errors."""

    def receive(self, token: Any) -> list[Any]:
        """Read all replies to what ``send`` sent; raises the client's connection errors."""

    def abandon(self, token: Any) -> None:
        """Nobody will read the replies."""

    def pubsub(self) -> Any:
        """A fresh redis-py ``PubSub``."""

    def close(self) -> None:
        """Close every connection."""


class AsyncWire(Protocol):
    """What the async executor needs; see ``SyncWire``."""

    async def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send all, read all; raises the client's connection errors."""

    async def pubsub(self) -> Any:
        """A fresh redis-py async ``PubSub``."""

    async def close(self) -> None:
        """Close every connection."""


class ServerWire:
    """The sync path to one server, or to the primary a Sentinel names. Safe for threads and after a fork.

    The pool notices a fork by itself: a child never shares a socket with its parent. ``guides`` are clients of the
    Sentinels, closed together with it.
    """

    def __init__(self, client: redis.Redis, guides: Sequence[redis.Redis] = ()) -> None:
        self._client: Any = client
        self._guides = guides
        self._pool = client.connection_pool
        self._warm: list[_Warm] = []

    def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send all, read all, on one connection."""
        commands = [request.words for request in requests]
        connection = self._take()
        try:
            replies = _talk(connection, commands)
        except BaseException:
            self._pool.release(connection)
            raise
        self._warm.append(_Warm(os.getpid(), time.monotonic(), connection))
        return replies

    def send(self, requests: Sequence[Request]) -> _Underway:
        """Send all on a connection that then belongs to the token."""
        connection = self._take()
        try:
            _write(connection, [request.words for request in requests])
        except BaseException:
            self._pool.release(connection)
            raise
        return _Underway(connection, len(requests))

    def receive(self, token: _Underway) -> list[Any]:
        """Read all replies and give the connection back."""
        try:
            replies = _read(token.connection, token.size)
        except BaseException:
            self._pool.release(token.connection)
            raise
        self._warm.append(_Warm(os.getpid(), time.monotonic(), token.connection))
        return replies

    def abandon(self, token: _Underway) -> None:
        """Close the connection: unread replies would be taken for the answers of the next caller."""
        token.connection.disconnect()
        self._pool.release(token.connection)

    def _take(self) -> Any:
        """The connection that was used last, if that was a moment ago: the pool's own checks cost a tenth of a round trip.

        An older one goes through the pool, which notices that the server has closed it.
        """
        while self._warm:
            pid, used_s, connection = self._warm.pop()
            if pid != os.getpid():
                continue
            if time.monotonic() - used_s < WARM_S:
                return connection
            self._pool.release(connection)
        return self._pool.get_connection()

    def pubsub(self) -> Any:
        """A fresh ``PubSub`` on its own connection."""
        return self._client.pubsub()

    def close(self) -> None:
        """Close every connection."""
        while self._warm:
            warm = self._warm.pop()
            if warm.pid == os.getpid():
                self._pool.release(warm.connection)
        for client in (self._client, *self._guides):
            client.close()
            client.connection_pool.disconnect()


class AsyncServerWire:
    """The async path to one server, or to the primary a Sentinel names. ``timeout_s`` bounds one exchange.

    One deadline around the exchange replaces redis-py's time-out per reply, which costs more than the reply itself.
    """

    def __init__(
        self, client: redis.asyncio.Redis, timeout_s: float, guides: Sequence[redis.asyncio.Redis] = ()
    ) -> None:
        self._client = client
        self._guides = guides
        self._pool: Any = client.connection_pool
        self._timeout_s = timeout_s
        self._warm: list[_Warm] = []

    async def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send all, read all, on one connection."""
        commands = [request.words for request in requests]
        connection: Any = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._take()
                replies = await _talk_async(connection, commands)
        except BaseException as error:
            if connection is not None:
                await self._pool.release(connection)
            if isinstance(error, TimeoutError):
                raise _silent(self._timeout_s) from error
            raise
        self._warm.append(_Warm(os.getpid(), time.monotonic(), connection))
        return replies

    async def _take(self) -> Any:
        """As ``ServerWire._take``."""
        while self._warm:
            pid, used_s, connection = self._warm.pop()
            if pid != os.getpid():
                continue
            if time.monotonic() - used_s < WARM_S and connection.is_connected:
                return connection
            await self._pool.release(connection)
        return await self._pool.get_connection()

    async def pubsub(self) -> Any:
        """A fresh ``PubSub`` on its own connection."""
        return self._client.pubsub()

    async def close(self) -> None:
        """Close every connection."""
        while self._warm:
            warm = self._warm.pop()
            if warm.pid == os.getpid():
                await self._pool.release(warm.connection)
        for client in (self._client, *self._guides):
            await client.aclose()
            await client.connection_pool.disconnect()


def pack(commands: Sequence[Sequence[Argument]]) -> list[bytes]:
    """The bytes of ``commands`` as one write."""
    return [b"".join([_pack(tuple(words)) for words in commands])]


def talk(pool: Any, commands: Sequence[Sequence[Argument]]) -> list[Any]:
    """Run ``commands`` on one connection of a sync pool; error replies are returned in their places."""
    connection = pool.get_connection()
    try:
        return _talk(connection, commands)
    finally:
        pool.release(connection)


def _talk(connection: Any, commands: Sequence[Sequence[Argument]]) -> list[Any]:
    _write(connection, commands)
    return _read(connection, len(commands))


def _write(connection: Any, commands: Sequence[Sequence[Argument]]) -> None:
    try:
        connection.send_packed_command(pack(commands))
    except BaseException:
        connection.disconnect()
        raise


def _read(connection: Any, count: int) -> list[Any]:
    try:
        read, replies = connection.read_response, []
        for _ in range(count):
            try:
                replies.append(read())
            except redis.ResponseError as error:
                replies.append(error)
        return replies
    except BaseException:
        # Unread replies would be taken for the answers of the next caller.
        connection.disconnect()
        raise


async def talk_async(pool: Any, commands: Sequence[Sequence[Argument]], timeout_s: float) -> list[Any]:
    """Run ``commands`` on one connection of an async pool; error replies are returned in their places."""
    try:
        async with asyncio.timeout(timeout_s):
            connection = await pool.get_connection()
            try:
                return await _talk_async(connection, commands)
            finally:
                await pool.release(connection)
    except TimeoutError as error:
        raise _silent(timeout_s) from error


def _silent(timeout_s: float) -> StoreUnavailable:
    return StoreUnavailable(f"Redis did not answer within {timeout_s:g} s; the outcome is unknown, repeat")


async def _talk_async(connection: Any, commands: Sequence[Sequence[Argument]]) -> list[Any]:
    try:
        await connection.send_packed_command(pack(commands))
        read, replies = connection.read_response, []
        for _ in commands:
            try:
                replies.append(await read())
            except redis.ResponseError as error:
                replies.append(error)
        return replies
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
