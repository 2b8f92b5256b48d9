"""Polls that wait: one line claims for all of them, wakes at once, is fair, costs nothing while idle and loses no task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from orchestrator.api import polling
from orchestrator.api.polling import Polls
from orchestrator.client.sessions import AsyncSession
from orchestrator.errors import InvalidRequest, StoreUnavailable
from orchestrator.model.execution import Task
from orchestrator.plan import Call, Command, Plan, Step
from orchestrator.service import poll_data
from tests.support.eventually import eventually_async
from tests.workers.estate import Estate

LONG_MS = 5_000


@pytest.fixture
def estate(store_url: str) -> Iterator[Estate]:
    """An empty installation, once per backend."""
    estate = Estate(store_url)
    yield estate
    estate.close()


@pytest.fixture
async def polls(estate: Estate) -> AsyncIterator[Polls]:
    """The polls of one server on it."""
    async with serving(estate) as polls:
        yield polls


class serving:
    """A server's polls for the time of a block."""

    def __init__(self, estate: Estate) -> None:
        self.session = AsyncSession(estate.settings)

    async def __aenter__(self) -> Polls:
        self.polls = Polls(self.session)
        return self.polls

    async def __aexit__(self, *_: object) -> None:
        await self.polls.close()
        await self.session.close()


async def never() -> None:
    """A caller that stays."""
    await asyncio.Event().wait()


async def wait(polls: Polls, count: int = 1, timeout_ms: int = LONG_MS, **options: Any) -> list[Task]:
    given = {"task_type": "charge", "domain": None, "worker": "host-1", "gone": never} | options
    task_type, domain, worker = given.pop("task_type"), given.pop("domain"), given.pop("worker")
    return await polls.wait(task_type, domain, worker, count=count, timeout_ms=timeout_ms, **given)


def ids(found: list[Task]) -> list[str]:
    return [task.task_id for task in found]


async def standing(estate: Estate, polls: list[asyncio.Task[list[Task]]], domain: str | None = None) -> None:
    """Until the queue knows that somebody waits, and no poll has ended."""

    async def is_noted() -> bool:
        stats = await asyncio.to_thread(estate.queue, "charge")
        return domain in stats.domains and stats.domains[domain].waiting == 1

    await eventually_async(is_noted)
    assert not any(poll.done() for poll in polls)


async def add(estate: Estate, *, count: int = 1, **options: Any) -> list[str]:
    """New tasks, offered together."""

    def adding() -> list[str]:
        made = [estate.open("charge", **options) for _ in range(count)]
        estate.offer("charge", *made, domain=options.get("domain"))
        return made

    return await asyncio.to_thread(adding)


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_a_task_that_is_there_is_given_at_once(estate: Estate, polls: Polls) -> None:
    (task_id,) = await add(estate)
    (found,) = await wait(polls)
    assert (found.task_id, found.status, found.worker_id, found.poll_count) == (task_id, "IN_PROGRESS", "host-1", 1)
    assert await wait(polls, timeout_ms=0) == []


async def test_a_poll_that_waits_gets_a_new_task_in_no_time(estate: Estate, polls: Polls) -> None:
    waiting = asyncio.create_task(wait(polls))
    await standing(estate, [waiting])
    before_s = time.monotonic()
    made = await add(estate)
    assert ids(await waiting) == made
    assert time.monotonic() - before_s < 1.0  # looking again without a wake-up takes two seconds


async def test_a_poll_ends_empty_when_its_time_is_over(polls: Polls) -> None:
    before_s = time.monotonic()
    assert await wait(polls, timeout_ms=300) == []
    assert 0.3 <= time.monotonic() - before_s < 3.0
    with pytest.raises(InvalidRequest, match="cannot be more than 5 seconds"):
        await wait(polls, timeout_ms=5_001)


async def test_a_poll_gets_no_more_than_it_asks_for_and_at_least_one(estate: Estate, polls: Polls) -> None:
    made = await add(estate, count=5)
    assert ids(await wait(polls, 2)) == made[:2]
    assert ids(await wait(polls, 0)) == made[2:3]
    assert ids(await wait(polls, 1_000)) == made[3:]


async def test_those_who_wait_are_served_in_turn_the_longest_waiting_first(estate: Estate, polls: Polls) -> None:
    first = asyncio.create_task(wait(polls, 10, worker="first"))
    await standing(estate, [first])
    second, third = (asyncio.create_task(wait(polls, 10, worker=name)) for name in ("second", "third"))
    await asyncio.sleep(0)
    made = await add(estate, count=2)
    assert sorted(ids(await first) + ids(await second)) == sorted(made)
    assert len(await first) == len(await second) == 1
    assert not third.done()
    assert ids(await first) == made[:1]
    assert ids((await asyncio.gather(third, add(estate)))[0]) != []


async def test_a_domain_has_a_line_of_its_own(estate: Estate, polls: Polls) -> None:
    plain, eu = asyncio.create_task(wait(polls)), asyncio.create_task(wait(polls, domain="eu"))
    await standing(estate, [plain, eu])
    await standing(estate, [plain, eu], "eu")
    made = await add(estate, domain="eu")
    assert ids(await eu) == made
    assert not plain.done()
    made = await add(estate)
    assert ids(await plain) == made


async def test_a_limit_is_kept_over_all_polls_and_a_freed_slot_wakes_one(estate: Estate, polls: Polls) -> None:
    estate.limit("charge", concurrency=1)
    made = await add(estate, count=2)
    assert ids(await wait(polls, 5)) == made[:1]
    waiting = asyncio.create_task(wait(polls, 5))
    await standing(estate, [waiting])
    await asyncio.to_thread(estate.cancel, "charge", made[0])
    assert ids(await waiting) == made[1:]


async def test_two_servers_share_a_queue(estate: Estate, polls: Polls) -> None:
    async with serving(estate) as others:
        waiting = [asyncio.create_task(wait(server, 3)) for server in (polls, others)]
        made: list[str] = []
        for poll in waiting:
            while not poll.done():
                made += await add(estate)
                await asyncio.wait((poll,), timeout=0.1)
        got = [task_id for poll in waiting for task_id in ids(await poll)]
        got += ids(await wait(polls, 100, timeout_ms=100))
        assert sorted(got) == sorted(made)


async def test_a_task_that_is_handed_over_between_two_polls_is_kept_for_the_next_one(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "KEEP_S", 60.0)
    assert await wait(polls, timeout_ms=5) == []
    (task_id,) = await add(estate)

    async def was_handed_over() -> bool:
        return await polls.session.run(wakes(estate)) == 0

    await eventually_async(was_handed_over)
    (found,) = await wait(polls, timeout_ms=0)
    assert (found.task_id, found.poll_count) == (task_id, 1)


async def test_a_task_that_is_handed_over_and_wanted_by_nobody_here_is_for_other_servers(
    estate: Estate, polls: Polls
) -> None:
    assert await wait(polls, timeout_ms=5) == []
    made = await add(estate)
    async with serving(estate) as others:
        assert ids(await wait(others)) == made


async def test_what_is_handed_over_when_no_poll_is_expected_stays_for_others_as_it_is(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "KEEP_S", 0.0)
    returned: list[bytes] = []
    woken = polling.Line.woken

    def hearing(line: polling.Line, token: bytes) -> bool:
        if not (is_of_use := woken(line, token)):
            returned.append(token)
        return is_of_use

    monkeypatch.setattr(polling.Line, "woken", hearing)
    assert await wait(polls, timeout_ms=5) == []
    (task_id,) = await add(estate)

    async def was_returned() -> bool:
        return bool(returned) and await polls.session.run(wakes(estate)) == 1

    await eventually_async(was_returned)
    assert ids(await wait(polls)) == [task_id]
    assert estate.dispatch(task_id).split()[1] == "1"  # the delivery that was handed over


async def test_what_is_handed_over_while_a_server_ends_is_for_others_at_once(redis_url: str) -> None:
    estate = Estate(redis_url)
    async with serving(estate) as polls:
        assert await wait(polls, timeout_ms=5) == []
        close = polls.wakeups.close

        async def closing() -> None:
            estate.add("charge")  # in this very moment: the loop sees nothing of it before the reads end
            await close()

        polls.wakeups.close = closing  # type: ignore[method-assign]
    assert (estate.queue("charge").ready, estate.queue("charge").leased) == (1, 0)
    estate.close()


def wakes(estate: Estate) -> Plan[int]:
    """How many wake-ups nobody has taken yet."""
    return int((yield Command(("LLEN", estate.store.keys.wakes("charge")))))


# --- callers that go --------------------------------------------------------------------------------------------------


async def test_nothing_is_claimed_for_a_caller_that_has_gone(estate: Estate, polls: Polls) -> None:
    hung_up = asyncio.Event()
    waiting = asyncio.create_task(wait(polls, gone=hung_up.wait))
    await standing(estate, [waiting])
    hung_up.set()
    assert await waiting == []
    (task_id,) = await add(estate)
    assert estate.dispatch(task_id).split()[4] == "0"  # never handed out
    assert ids(await wait(polls)) == [task_id]


@pytest.mark.parametrize("script", ["claim", "start_task", "lend"])
async def test_what_a_caller_does_not_live_to_receive_is_for_others_at_once(
    estate: Estate, polls: Polls, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up = asyncio.Event()
    on_script(monkeypatch, polls, script, hung_up.set)
    (task_id,) = await add(estate)
    assert await wait(polls, gone=hung_up.wait) == []
    assert hung_up.is_set()
    (found,) = await wait(polls, worker="host-2")
    assert (found.task_id, found.worker_id) == (task_id, "host-2")


@pytest.mark.parametrize("script", ["claim", "start_task", "lend"])
async def test_a_poll_that_is_cancelled_loses_no_task(
    estate: Estate, polls: Polls, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls_of_caller: list[asyncio.Task[list[Task]]] = []
    on_script(monkeypatch, polls, script, lambda: polls_of_caller[0].cancel())
    (task_id,) = await add(estate)
    polls_of_caller.append(asyncio.create_task(wait(polls)))
    with pytest.raises(asyncio.CancelledError):
        await polls_of_caller[0]
    assert ids(await wait(polls, worker="host-2")) == [task_id]


async def test_what_was_not_handed_out_because_the_store_was_away_is_given_back_later(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "GIVE_BACK_PAUSE_MIN_S", 0.001)
    monkeypatch.setattr(polling, "GIVE_BACK_PAUSE_MAX_S", 0.002)
    tries: list[int] = []

    def away() -> None:
        tries.append(1)
        if len(tries) <= 12:
            raise StoreUnavailable("gone for a while")

    on_script(monkeypatch, polls, "lend", away)
    (task_id,) = await add(estate)
    with pytest.raises(StoreUnavailable):
        await wait(polls)
    await eventually_async(lambda: asyncio.to_thread(lambda: len(tries) > 12))
    assert ids(await wait(polls, worker="host-2")) == [task_id]


async def test_a_server_that_ends_tries_once_more_to_give_back_and_does_not_wait_for_the_store(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "GIVE_BACK_PAUSE_MIN_S", 60.0)
    async with serving(estate) as polls:
        tries: list[int] = []

        def away() -> None:
            tries.append(1)
            raise StoreUnavailable("gone for good")

        on_script(monkeypatch, polls, "lend", away)
        await add(estate)
        with pytest.raises(StoreUnavailable):
            await wait(polls)
        await eventually_async(lambda: asyncio.to_thread(lambda: len(tries) == 2))
    assert len(tries) == 3


async def test_everybody_is_told_that_the_store_is_away_and_the_next_poll_tries_again(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = iter([True])

    def away() -> None:
        if next(outages, False):
            raise StoreUnavailable("gone for a moment")

    on_script(monkeypatch, polls, "claim", away)
    told = await asyncio.gather(*[wait(polls) for _ in range(3)], return_exceptions=True)
    assert [type(one) for one in told] == [StoreUnavailable] * 3
    made = await add(estate)
    assert ids(await wait(polls)) == made


def on_script(monkeypatch: pytest.MonkeyPatch, polls: Polls, script: str, act: Any) -> None:
    """Do something whenever a script of that name is about to be answered; the caller sees it after the server ran it."""
    executor = polls.session.connection.asynchronous()
    do = executor.do

    async def doing(step: Step) -> Any:
        reply = await do(step)
        steps = step if isinstance(step, list) else [step]
        if any(isinstance(one, Call) and one.script == script for one in steps):
            act()
            await asyncio.sleep(0)  # so that a cancellation arrives here
        return reply

    monkeypatch.setattr(executor, "do", doing)


# --- what it costs ----------------------------------------------------------------------------------------------------


async def test_a_thousand_idle_polls_cost_redis_no_more_than_one(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_data, "WRITE_EVERY_S", 60.0)
    estate = Estate(redis_url)

    def commands() -> int:
        info: bytes = estate.executor.do(Command(("INFO", "stats")))
        return int(info.partition(b"total_commands_processed:")[2].split()[0])

    async with serving(estate) as polls:
        first = asyncio.create_task(wait(polls))
        await standing(estate, [first])
        before = commands()
        crowd = [asyncio.create_task(wait(polls, timeout_ms=1_000)) for _ in range(1_000)]
        assert await asyncio.gather(*crowd) == [[]] * 1_000
        assert not first.done()
        assert commands() - before < 10
        made = await add(estate)
        assert ids(await first) == made
    estate.close()


async def test_polls_that_come_and_go_do_not_ask_the_queue_again(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[int] = []
    on_script(monkeypatch, polls, "claim", lambda: claims.append(1))
    for _ in range(20):
        assert await wait(polls, timeout_ms=5) == []
    assert len(claims) <= 2
    made = await add(estate)
    assert ids(await wait(polls)) == made


async def test_a_line_ends_when_nobody_has_stood_in_it_for_a_while(
    estate: Estate, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "WAIT_MS", 50)
    assert await wait(polls, timeout_ms=5) == []
    (line,) = polls.lines
    assert line == ("charge", None)

    async def has_ended() -> bool:
        return polls.lines == []

    await eventually_async(has_ended)
    made = await add(estate)
    assert ids(await wait(polls)) == made


# --- who polled -------------------------------------------------------------------------------------------------------


async def test_the_last_poll_of_each_queue_is_noted(estate: Estate, polls: Polls) -> None:
    await wait(polls, timeout_ms=0, domain="eu", worker="host-2")
    await wait(polls, timeout_ms=0)

    async def are_noted() -> None:
        found = await polls.session.run(poll_data.read(estate.store, "charge"))
        assert [(one.queue_name, one.domain, one.worker_id) for one in found] == [
            ("charge", None, "host-1"),
            ("charge", "eu", "host-2"),
        ]
        assert all(abs(one.last_poll_time / 1000 - time.time()) < 60 for one in found)

    await eventually_async(are_noted)
    assert await polls.session.run(poll_data.read(estate.store, "other")) == []
