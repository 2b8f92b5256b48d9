"""The wire to a Redis Cluster: requests grouped by node, redirections followed, nothing else.

redis-py's cluster client is used for the topology only; its own execution path rewrites replies and reloads scripts
badly. Each node has a plain pool. MOVED renews the topology, ASK asks the named node once, TRYAGAIN and CLUSTERDOWN
wait a little: none of these commands ran, so sending them again is safe. A barrier goes where its slot's commands go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis
import redis.asyncio

from orchestrator.store.wire import Request, talk, talk_async

REDIRECTIONS_MAX = 8
PAUSE_S = 0.05
_REDIRECTED = (
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
)
Address = tuple[str, int]


class Target(NamedTuple):
    """A node, and whether each command to it needs ASKING in front."""

    address: Address
    asking: bool = False


Shares = dict[Target, list[int]]  # positions in the request list


class ClusterWire:
    """The sync path to a cluster."""

    def __init__(
        self, open_client: Callable[[], redis.RedisCluster], open_pool: Callable[[str, int], redis.ConnectionPool]
    ) -> None:
        self._open_client = open_client  # the client asks for the topology as soon as it is made
        self._client: redis.RedisCluster | None = None
        self._open_pool = open_pool
        self._pools: dict[Address, redis.ConnectionPool] = {}
        self._lost = False

    def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send every request to the node that has its slot; error replies in their places."""
        client = self._topology()
        try:
            return self._exchange(client, requests)
        except BaseException:
            # A node that does not answer may have been replaced: the next exchange asks who is there now.
            self._lost = True
            raise

    def send(self, requests: Sequence[Request]) -> list[Any]:
        """As ``exchange``: the token is the replies. Redirections make sending ahead not worth its while here."""
        return self.exchange(requests)

    def receive(self, token: list[Any]) -> list[Any]:
        """The replies."""
        return token

    def abandon(self, token: list[Any]) -> None:
        """Nothing is under way."""

    def _topology(self) -> redis.RedisCluster:
        if self._client is None:
            self._client = self._open_client()
        elif self._lost:
            self._client.nodes_manager.initialize()
        self._lost = False
        return self._client

    def _exchange(self, client: redis.RedisCluster, requests: Sequence[Request]) -> list[Any]:
        replies: list[Any] = [None] * len(requests)
        pending = list(range(len(requests)))
        for attempt in range(REDIRECTIONS_MAX):
            for target, indexes in _shares(client, requests, pending, replies).items():
                _place(replies, target, indexes, talk(self._pool(target.address), _commands(requests, target, indexes)))
            pending = _redirected(requests, replies)
            if not pending or attempt == REDIRECTIONS_MAX - 1:
                break
            if _topology_is_stale(replies, pending):
                client.nodes_manager.initialize()
            time.sleep(PAUSE_S * attempt)
        return replies

    def pubsub(self) -> Any:
        """A ``PubSub`` on some node: the cluster's bus carries messages everywhere."""
        client: Any = self._topology()
        return client.pubsub()

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.disconnect()
        if self._client is not None:
            self._client.close()

    def _pool(self, address: Address) -> redis.ConnectionPool:
        return self._pools.get(address) or self._pools.setdefault(address, self._open_pool(*address))


class AsyncClusterWire:
    """The async path to a cluster. ``timeout_s`` bounds the exchange with one node."""

    def __init__(
        self,
        client: redis.asyncio.RedisCluster,
        open_pool: Callable[[str, int], redis.asyncio.ConnectionPool],
        timeout_s: float,
    ) -> None:
        self._client = client
        self._open_pool = open_pool
        self._timeout_s = timeout_s
        self._pools: dict[Address, redis.asyncio.ConnectionPool] = {}
        self._lost = False

    async def exchange(self, requests: Sequence[Request]) -> list[Any]:
        """Send every request to the node that has its slot; error replies in their places."""
        try:
            await self._topology()
            return await self._exchange(requests)
        except BaseException:
            # A node that does not answer may have been replaced: the next exchange asks who is there now.
            self._lost = True
            raise

    async def _topology(self) -> None:
        if self._lost:
            await self._client.nodes_manager.initialize()
        await self._client.initialize()
        self._lost = False

    async def _exchange(self, requests: Sequence[Request]) -> list[Any]:
        replies: list[Any] = [None] * len(requests)
        pending = list(range(len(requests)))
        for attempt in range(REDIRECTIONS_MAX):
            shares = _shares(self._client, requests, pending, replies)
            await asyncio.gather(*(self._send(*item, requests, replies) for item in shares.items()))
            pending = _redirected(requests, replies)
            if not pending or attempt == REDIRECTIONS_MAX - 1:
                break
            if _topology_is_stale(replies, pending):
                await self._client.nodes_manager.initialize()
            await asyncio.sleep(PAUSE_S * attempt)
        return replies

    async def pubsub(self) -> Any:
        """A ``PubSub`` on some node: the cluster's bus carries messages everywhere."""
        await self._topology()
        node = self._client.get_default_node()
        return redis.asyncio.Redis(connection_pool=self._pool((node.host, int(node.port)))).pubsub()

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.disconnect()
        await self._client.aclose()

    async def _send(self, target: Target, indexes: list[int], requests: Sequence[Request], replies: list[Any]) -> None:
        commands = _commands(requests, target, indexes)
        _place(replies, target, indexes, await talk_async(self._pool(target.address), commands, self._timeout_s))

    def _pool(self, address: Address) -> redis.asyncio.ConnectionPool:
        return self._pools.get(address) or self._pools.setdefault(address, self._open_pool(*address))


def _shares(client: Any, requests: Sequence[Request], pending: list[int], replies: list[Any]) -> Shares:
    shares: Shares = {}
    asked = {
        _tag(requests[index].route): Target((replies[index].host, int(replies[index].port)), asking=True)
        for index in pending
        if isinstance(replies[index], redis.exceptions.AskError)
    }
    for index in pending:
        route = requests[index].route
        shares.setdefault(asked.get(_tag(route)) or _owner(client, route), []).append(index)
    return shares


def _owner(client: Any, route: str) -> Target:
    node = client.get_node_from_key(route) if route else client.get_default_node()
    return Target((node.host, int(node.port)))


def _commands(requests: Sequence[Request], target: Target, indexes: list[int]) -> list[Sequence[Any]]:
    if not target.asking:
        return [requests[index].words for index in indexes]
    return [words for index in indexes for words in (("ASKING",), requests[index].words)]


def _place(replies: list[Any], target: Target, indexes: list[int], answers: list[Any]) -> None:
    for index, answer in zip(indexes, answers[1::2] if target.asking else answers, strict=True):
        replies[index] = answer


def _redirected(requests: Sequence[Request], replies: list[Any]) -> list[int]:
    """The requests to send again, with the barriers of their slots: a barrier counts only behind its writes."""
    tags = {
        _tag(request.route)
        for request, reply in zip(requests, replies, strict=True)
        if isinstance(reply, _REDIRECTED) and not request.is_barrier
    }
    return [
        index
        for index, request in enumerate(requests)
        if isinstance(replies[index], _REDIRECTED) or (request.is_barrier and _tag(request.route) in tags)
    ]


def _topology_is_stale(replies: list[Any], pending: list[int]) -> bool:
    return any(
        isinstance(replies[index], redis.exceptions.MovedError | redis.exceptions.ClusterDownError) for index in pending
    )


def _tag(route: str) -> str:
    return route[: route.find("}") + 1] or route
