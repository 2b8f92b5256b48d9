"""Blocking reads of wake-up lists: they hear tokens, end at once when they are told to, and lose nothing by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.wake_reads import BLOCK_S, WakeReads

LISTS = (Keys().wakes("charge"), Keys().wakes("charge", 1))


@pytest.fixture
async def commands(store_url: str) -> AsyncIterator[AsyncExecutor]:
    connection = connect(store_url, Settings(redis_url=store_url))
    yield connection.asynchronous()
    await connection.aclose()


@pytest.fixture
async def reads(store_url: str, commands: AsyncExecutor) -> AsyncIterator[WakeReads]:
    connection = connect(store_url, Settings(redis_url=store_url))
    yield WakeReads(connection.blocking_async(BLOCK_S), commands)
    await connection.aclose()


async def keys(commands: AsyncExecutor) -> list[bytes]:
    found: list[bytes] = await commands.do(Command(("KEYS", "*")))
    return found


async def under_way(reads: WakeReads) -> asyncio.Task[tuple[str, bytes] | None]:
    """A read that the server knows of, or soon will."""
    reading = asyncio.create_task(reads.read(LISTS))
    await asyncio.sleep(0)
    return reading


async def test_a_token_is_heard_with_the_name_of_its_list(reads: WakeReads, commands: AsyncExecutor) -> None:
    reading = await under_way(reads)
    await commands.do(Command(("RPUSH", LISTS[1], "1")))
    assert await reading == (LISTS[1], b"1")


async def test_a_token_that_is_put_back_comes_first(reads: WakeReads, commands: AsyncExecutor) -> None:
    await commands.do(Command(("RPUSH", LISTS[0], "1", "2")))
    heard = await reads.read(LISTS)
    assert heard is not None
    await reads.put_back(*heard)
    assert await commands.do(Command(("LRANGE", LISTS[0], 0, -1))) == [b"1", b"2"]


async def test_a_read_under_way_ends_at_once_and_leaves_no_key(reads: WakeReads, commands: AsyncExecutor) -> None:
    reading = await under_way(reads)
    before_s = time.monotonic()
    await reads.end()
    assert await reading is None
    assert time.monotonic() - before_s < BLOCK_S / 2
    assert await keys(commands) == []
    await commands.do(Command(("RPUSH", LISTS[0], "1")))
    assert await reads.read(LISTS) is None
    assert await keys(commands) == [LISTS[0].encode()]


async def test_what_a_read_takes_while_it_is_ended_is_given(reads: WakeReads, commands: AsyncExecutor) -> None:
    reading = await under_way(reads)
    await commands.do(Command(("RPUSH", LISTS[0], "1")))
    await reads.end()
    assert await reading == (LISTS[0], b"1")
    assert await keys(commands) == []
