"""News of listeners on a real peer: what is posted, what happens when it fails, and whom a peer that hangs holds up."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from orchestrator.client import AsyncClient
from orchestrator.codec import pack
from orchestrator.engine.notices import Notices
from orchestrator.events.host import EventsHost
from orchestrator.model.effects import Notify
from orchestrator.plan import Command
from orchestrator.service import events
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.news import NewsDesk, signature
from tests.support.eventually import eventually_async
from tests.systemtasks.peer import Asked, Peer, answer

Tell = Callable[..., Any]


@asynccontextmanager
async def delivering(url: str, **fields: Any) -> AsyncIterator[AsyncClient]:
    """An installation and one process that delivers its news."""
    settings = Settings(redis_url=url, partitions=1, **fields)
    async with AsyncExitStack() as stack:
        connection = connect(url, settings)
        stack.push_async_callback(connection.aclose)
        store, run = StoreContext(settings), connection.asynchronous().run
        shared = await stack.enter_async_context(Resources(store, run))
        client = await stack.enter_async_context(AsyncClient(settings=settings))
        await client.list_workflows()
        chore = asyncio.create_task(EventsHost(connection, NewsDesk(shared, pauses_s=(0.01, 0.02))).run())
        yield client
        chore.cancel()
        with suppress(asyncio.CancelledError):
            await chore


async def tell(client: AsyncClient, place: str, *names: str) -> None:
    """Hand news of these names off, as a relay does."""
    news = [Notify(place, name, pack({"event": "STARTED", "name": name})) for name in names]
    assert all(await client.run(Notices(client.store).deliver(news)))


async def left(client: AsyncClient, place: str) -> int:
    found: int = await client.connection.asynchronous().do(Command(("XLEN", client.store.keys.event_queue(place))))
    return found


def named(asked: list[Asked]) -> list[str]:
    return sorted(json.loads(one.body)["name"] for one in asked)


async def test_news_is_posted_once_signed_and_with_its_id(redis_url: str) -> None:
    with Peer({"/hook": answer()}) as peer:
        async with delivering(redis_url, http_hosts=peer.hosts, webhook_secret="s3cret") as client:
            await tell(client, peer.url("/hook"), "n1", "n2")

            async def has_arrived() -> bool:
                return await left(client, peer.url("/hook")) == 0

            await eventually_async(has_arrived)
    assert named(peer.asked) == ["n1", "n2"]
    first = next(one for one in peer.asked if json.loads(one.body)["name"] == "n1")
    assert (first.method, first.headers["x-orchestrator-id"], first.headers["x-orchestrator-event"]) == (
        "POST",
        "n1",
        "STARTED",
    )
    assert first.headers["content-type"] == "application/json"
    assert hmac.compare_digest(first.headers["x-orchestrator-signature"], signature("s3cret", first.body))


async def test_without_a_secret_nothing_is_signed(redis_url: str) -> None:
    with Peer({"/hook": answer()}) as peer:
        async with delivering(redis_url, http_hosts=peer.hosts) as client:
            await tell(client, peer.url("/hook"), "n1")

            async def has_arrived() -> bool:
                return len(peer.asked) == 1

            await eventually_async(has_arrived)
    assert "x-orchestrator-signature" not in peer.asked[0].headers


async def test_a_peer_that_fails_is_asked_again(redis_url: str) -> None:
    with Peer({"/hook": answer(b"", "503 Busy")}) as peer:
        async with delivering(redis_url, http_hosts=peer.hosts) as client:
            await tell(client, peer.url("/hook"), "n1")

            async def was_asked_twice() -> None:
                assert len(peer.asked) >= 2

            await eventually_async(was_asked_twice)
            peer.behaviours["/hook"] = answer()

            async def has_arrived() -> bool:
                return await left(client, peer.url("/hook")) == 0

            await eventually_async(has_arrived, timeout_s=30)
    assert {one.headers["x-orchestrator-id"] for one in peer.asked} == {"n1"}


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/hook", "http://169.254.169.254/latest", "http://[::1]/x"])
async def test_an_inward_address_is_refused_and_the_news_put_aside(redis_url: str, place: str) -> None:
    async with delivering(redis_url) as client:
        await tell(client, place, "n1")

        async def is_put_aside() -> None:
            letters = await client.run(events.dead_letters(client.store, place))
            assert len(letters) == 1
            letter = letters[0]
            assert "is not a public address" in letter.reason
            assert events.payload_of(letter) == {"event": "STARTED", "name": "n1"}

        await eventually_async(is_put_aside)
        assert await left(client, place) == 0


async def test_a_peer_that_hangs_delays_only_its_own_news(redis_url: str) -> None:
    with Peer({"/good": answer()}) as peer:
        peer.behaviours["/hangs"] = peer.hang
        async with delivering(redis_url, http_hosts=peer.hosts) as client:
            await tell(client, peer.url("/hangs"), *(f"h{number}" for number in range(50)))

            async def hangs() -> None:
                assert 0 < sum(one.path == "/hangs" for one in peer.asked) < 2 * NewsDesk.in_hand_max

            await eventually_async(hangs)
            await tell(client, peer.url("/good"), *(f"g{number}" for number in range(50)))

            async def has_arrived() -> bool:
                return await left(client, peer.url("/good")) == 0

            await eventually_async(has_arrived, timeout_s=5)
            await hangs()
            peer._ending.set()
