"""Starts inside the caller's own MULTI/EXEC: they happen with the caller's writes or not at all, whatever is in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import AsyncClient, Client, Workflow
from orchestrator.client.transactions import QueuedStart
from orchestrator.errors import (
    Conflict,
    DefinitionNotFound,
    InvalidPayload,
    InvalidRequest,
    RateLimited,
    SchemaViolation,
    StoreRefused,
    WorkflowNotFound,
)
from orchestrator.model.definitions import RateLimitConfig, RateLimitPolicy
from orchestrator.settings import Settings
from orchestrator.store.fake import fake_async_client, fake_sync_client
from orchestrator.testing import environment
from tests.client.conftest import greet, hello, waiting
from tests.support.redis_server import RedisServer

SETTINGS = Settings(partitions=2)


def redis_of(url: str, **options: Any) -> Any:
    """A client of the user's own at the store of that address."""
    name = url.removeprefix("fakeredis://")
    return redis.Redis.from_url(url, **options) if name == url else fake_sync_client(name)


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    with Client(store_url, settings=SETTINGS) as client:
        yield client.with_options(wait_commit=False)


@pytest.fixture
def mine(store_url: str) -> Iterator[Any]:
    mine = redis_of(store_url)
    yield mine
    mine.close()


def has_started(client: Client, workflow_id: str) -> bool:
    try:
        return client.workflow(workflow_id).status() == "RUNNING"
    except WorkflowNotFound:
        return False


# --- together or not at all -------------------------------------------------------------------------------------------


def test_a_start_happens_with_the_callers_write(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    pipe.set("order:7", "paid")
    queued = client.start_workflow_in(pipe, waiting, {"sku": "x"}, amount=3)
    pipe.hset("order:7:flow", "id", queued.workflow_id)
    assert not has_started(client, queued.workflow_id)
    handle = queued.started(pipe.execute())
    assert (handle.id, handle.existed) == (queued.workflow_id, False)
    assert handle.describe().input == {"sku": "x", "amount": 3}
    assert mine.get("order:7") == b"paid"
    assert mine.hget("order:7:flow", "id") == handle.id.encode()


def test_a_server_that_forgot_every_script_starts_it_all_the_same(client: Client, mine: Any) -> None:
    client.start_workflow(waiting)
    pipe = mine.pipeline()
    pipe.set("mine", "1")
    queued = client.start_workflow_in(pipe, waiting)
    mine.script_flush()
    assert has_started(client, queued.started(pipe.execute()).id)


def test_a_transaction_that_is_discarded_starts_nothing(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    pipe.set("mine", "1")
    queued = client.start_workflow_in(pipe, waiting)
    pipe.reset()
    assert pipe.execute() == []
    assert not has_started(client, queued.workflow_id)
    assert mine.get("mine") is None


def test_a_watched_key_that_changed_stops_both(client: Client, mine: Any) -> None:
    with mine.pipeline() as pipe:
        pipe.watch("stock")
        pipe.multi()
        pipe.set("mine", "1")
        queued = client.start_workflow_in(pipe, waiting)
        mine.set("stock", "0")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert not has_started(client, queued.workflow_id)
    assert mine.get("mine") is None


def test_a_command_that_redis_refuses_while_queueing_stops_both(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    queued = client.start_workflow_in(pipe, waiting)
    pipe.execute_command("SET", "mine")
    with pytest.raises(redis.ResponseError):
        pipe.execute()
    assert not has_started(client, queued.workflow_id)


def test_many_starts_in_one_transaction_are_each_found_in_its_replies(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    first = client.start_workflow_in(pipe, waiting, number=1)
    pipe.set("mine", "1")
    second = client.enqueue_in(pipe, greet, name="Ada")
    third = client.start_workflow_in(pipe, hello, name="Bob")
    replies = pipe.execute()
    assert third.started(replies).describe().input == {"name": "Bob"}
    assert second.started(replies).workflow().describe().input == {"name": "Ada"}
    assert first.started(replies).describe().input == {"number": 1}


def test_a_client_that_makes_text_of_replies_is_as_good(valkey_url: str) -> None:
    mine = redis.Redis.from_url(valkey_url, decode_responses=True, encoding="latin-1")
    with Client(valkey_url, settings=SETTINGS) as client:
        once = client.with_options(workflow_id="bestellung-ü")
        pipe = mine.pipeline()
        queued = once.start_workflow_in(pipe, waiting, name="Ü")
        assert queued.started(pipe.execute()).describe().input == {"name": "Ü"}
    mine.close()


ENDINGS = {"exec": True, "discard": False, "watch": False, "no command": False}


@settings(max_examples=60)
@given(
    ending=st.sampled_from(sorted(ENDINGS)),
    commands=st.lists(st.sampled_from(["write", "start", "enqueue", "refused", "invalid"]), max_size=6),
)
def test_starts_happen_when_writes_do(ending: str, commands: list[str]) -> None:
    with environment([greet], settings=SETTINGS) as env:
        mine, client = env.redis(), env.client
        queued: list[QueuedStart[Any]] = []
        writes: list[str] = []
        taken = client.with_options(workflow_id="taken")
        pipe = mine.pipeline()
        pipe.watch("watched")
        pipe.multi()
        for number, command in enumerate(commands):
            if command == "write":
                pipe.set(f"mine:{number}", "1")
                writes.append(f"mine:{number}")
            elif command == "start":
                queued.append(client.start_workflow_in(pipe, waiting))
            elif command == "enqueue":
                queued.append(client.enqueue_in(pipe, greet, name="Ada"))
            elif command == "refused" and not has_started(client, "taken"):
                refused = taken.start_workflow_in(pipe, waiting)
                taken.start_workflow(waiting)
            elif command == "invalid":
                with pytest.raises(InvalidPayload):
                    client.start_workflow_in(pipe, waiting, name=float("nan"))
        replies = end(ending, pipe, mine)
        happened = ENDINGS[ending]
        assert {mine.exists(key) for key in writes} <= {int(happened)}
        assert {has_started(client, one.workflow_id) for one in queued} <= {happened}
        if happened and "refused" in commands:
            with pytest.raises(Conflict, match="taken"):
                refused.started(replies)
        mine.close()


def end(ending: str, pipe: Any, mine: Any) -> list[Any]:
    if ending == "discard":
        pipe.reset()
        return []
    if ending == "watch":
        mine.set("watched", "1")
        pipe.set("something", "1")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        return []
    if ending == "no command":
        pipe.execute_command("SET", "something")
        with pytest.raises(redis.ResponseError):
            pipe.execute()
        return []
    replies: list[Any] = pipe.execute()
    return replies


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_server_that_lost_a_part_of_the_transaction_has_lost_all_of_it(kind: Any) -> None:
    with RedisServer(kind) as server, Client(server.url, settings=SETTINGS) as client:
        mine = redis.Redis.from_url(server.url)
        pipe = mine.pipeline()
        pipe.set("mine", "1")
        queued = client.with_options(workflow_id="order-7").start_workflow_in(pipe, waiting)
        pipe.set("also mine", "1")
        (log,) = server.folder.glob("appendonlydir/*.incr.aof")
        before = log.stat().st_size
        queued.started(pipe.execute())
        mine.close()
        whole = log.read_bytes()
        place = client.store.keys.workflow(client.store.keys.partition_of("order-7"), "order-7")
        seen = []
        for part in range(11):
            server.kill()
            log.write_bytes(whole[: before + (len(whole) - before) * part // 10])
            server.restart()
            with redis.Redis.from_url(server.url) as after:
                seen.append(after.exists("mine", place, "also mine"))
        assert seen == [0] * 10 + [3]


# --- refused before anything is queued --------------------------------------------------------------------------------


def _nothing_of_that_name(client: Client, pipe: Any) -> None:
    client.start_workflow_in(pipe, "nobody")


def _not_to_be_stored(client: Client, pipe: Any) -> None:
    client.start_workflow_in(pipe, waiting, name=2**70)


def _against_its_schema(client: Client, pipe: Any) -> None:
    strict = Workflow("strict", input_schema={"required": ["name"]}, enforce_schema=True).then(greet, name="x")
    client.start_workflow_in(pipe, strict)


def _id_in_use(client: Client, pipe: Any) -> None:
    once = client.with_options(workflow_id="order-7")
    once.start_workflow(waiting)
    once.start_workflow_in(pipe, waiting)


def _key_in_use(client: Client, pipe: Any) -> None:
    once = client.with_options(idempotency_key="k")
    once.start_workflow(waiting)
    once.start_workflow_in(pipe, waiting)


def _key_of_one_that_runs(client: Client, pipe: Any) -> None:
    once = client.with_options(idempotency_key="k", idempotency_strategy="FAIL_ON_RUNNING")
    once.start_workflow(waiting)
    once.start_workflow_in(pipe, waiting)


def _beyond_its_rate_limit(client: Client, pipe: Any) -> None:
    limit = RateLimitConfig(concurrent_exec_limit=1, policy=RateLimitPolicy.REJECT)
    one_at_a_time = Workflow("one_at_a_time", rate_limit=limit).wait(signal="go")
    client.start_workflow(one_at_a_time)
    client.start_workflow_in(pipe, one_at_a_time)


def _tag_of_nowhere(client: Client, pipe: Any) -> None:
    client.with_options(partition_tag="{p9}").start_workflow_in(pipe, waiting)


def _tag_of_another_id(client: Client, pipe: Any) -> None:
    tags = {client.partition_tag(name) for name in "abcdefgh"} - {client.partition_tag("order-7")}
    client.with_options(workflow_id="order-7", partition_tag=tags.pop()).start_workflow_in(pipe, waiting)


def _inputs_that_delay(client: Client, pipe: Any) -> None:
    client.enqueue_in(pipe, greet, _delay="PT1S")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (_nothing_of_that_name, DefinitionNotFound),
        (_not_to_be_stored, InvalidPayload),
        (_against_its_schema, SchemaViolation),
        (_id_in_use, Conflict),
        (_key_in_use, Conflict),
        (_key_of_one_that_runs, Conflict),
        (_beyond_its_rate_limit, RateLimited),
        (_tag_of_nowhere, InvalidRequest),
        (_tag_of_another_id, InvalidRequest),
        (_inputs_that_delay, InvalidRequest),
    ],
)
def test_what_can_be_known_is_refused_before_it_is_queued(
    asked: Callable[[Client, Any], None], error: type[Exception]
) -> None:
    with environment([greet], settings=SETTINGS) as env, env.redis().pipeline() as pipe:
        with pytest.raises(error):
            asked(env.client, pipe)
        assert len(pipe) == 0


def test_a_place_that_holds_data_of_another_program_is_refused_before_it_is_queued(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    for number in range(2):
        mine.set(client.store.keys.definitions(number), "foreign")
    with pytest.raises(StoreRefused, match="another namespace"):
        client.start_workflow_in(pipe, waiting)
    assert len(pipe) == 0


def test_what_is_no_transaction_is_refused(client: Client, mine: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"transaction=True"):
        client.start_workflow_in(mine.pipeline(transaction=False), waiting)
    with mine.pipeline() as pipe:
        pipe.watch("stock")
        with pytest.raises(InvalidRequest, match=r"multi\(\) first"):
            client.start_workflow_in(pipe, waiting)
    with pytest.raises(InvalidRequest, match=r"is no pipeline of redis; give redis.Redis"):
        client.start_workflow_in(mine, waiting)


def test_a_pipeline_that_leads_to_another_database_is_refused(redis_url: str) -> None:
    elsewhere = redis.Redis.from_url(redis_url.replace("/0", "/1"))
    with Client(redis_url, settings=SETTINGS) as client:
        with pytest.raises(InvalidRequest, match="has not the installation 'orc'"):
            client.start_workflow_in(elsewhere.pipeline(), waiting)
        elsewhere.hset(client.store.keys.installation(), "partitions", 7)
        with pytest.raises(InvalidRequest, match="has not the installation 'orc'"):
            client.start_workflow_in(elsewhere.pipeline(), waiting)
    elsewhere.flushdb()
    elsewhere.close()


def test_a_tag_is_for_transactions_only(client: Client) -> None:
    tagged = client.with_options(partition_tag=client.partition_tag("order-7"))
    with pytest.raises(InvalidRequest, match="is an option of start_workflow_in"):
        tagged.start_workflow(waiting)
    with pytest.raises(InvalidRequest, match="is an option of start_workflow_in"):
        tagged.enqueue(greet, name="Ada")


# --- refused in the EXEC ----------------------------------------------------------------------------------------------


def test_an_id_that_was_taken_meanwhile_is_an_answer(client: Client, mine: Any) -> None:
    once = client.with_options(workflow_id="order-7")
    pipe = mine.pipeline()
    pipe.set("mine", "1")
    queued = once.start_workflow_in(pipe, waiting)
    other = once.start_workflow(hello, name="Ada")
    replies = pipe.execute()
    with pytest.raises(Conflict, match="order-7 is in use"):
        queued.started(replies)
    assert mine.get("mine") == b"1"
    assert other.describe().workflow_name == "hello"


@pytest.mark.parametrize("strategy", ["FAIL", "FAIL_ON_RUNNING"])
def test_a_key_that_was_taken_meanwhile_is_an_answer(client: Client, mine: Any, strategy: Any) -> None:
    once = client.with_options(idempotency_key="k", idempotency_strategy=strategy)
    pipe = mine.pipeline()
    queued = once.start_workflow_in(pipe, waiting)
    other = once.start_workflow(waiting)
    with pytest.raises(Conflict, match=other.id):
        queued.started(pipe.execute())
    assert not has_started(client, queued.workflow_id)


def test_a_key_leads_to_the_execution_that_has_it(client: Client, mine: Any) -> None:
    once = client.with_options(idempotency_key="k", idempotency_strategy="RETURN_EXISTING")
    pipe = mine.pipeline()
    queued = once.start_workflow_in(pipe, waiting)
    other = once.start_workflow(waiting)
    again = once.start_workflow_in(pipe, waiting)
    replies = pipe.execute()
    assert [(one.started(replies).id, one.started(replies).existed) for one in (queued, again)] == [
        (other.id, True)
    ] * 2


def test_a_key_whose_execution_has_ended_is_taken_over(store_url: str, client: Client, mine: Any) -> None:
    once = client.with_options(idempotency_key="k", idempotency_strategy="FAIL_ON_RUNNING")
    ended = once.start_workflow(waiting)
    keys = client.store.keys
    mine.hset(keys.workflow(keys.partition_of(ended.id), ended.id), "s", "COMPLETED")
    pipe = mine.pipeline()
    queued = once.start_workflow_in(pipe, waiting)
    started = queued.started(pipe.execute())
    assert started.id == queued.workflow_id != ended.id
    with pytest.raises(Conflict, match=started.id):
        once.start_workflow(waiting)


def test_a_request_that_is_repeated_in_a_transaction_happens_once(client: Client, mine: Any) -> None:
    once = client.with_options(request_id="r-1")
    pipe = mine.pipeline()
    queued = [once.start_workflow_in(pipe, waiting) for _ in range(2)]
    replies = pipe.execute()
    once.start_workflow_in(pipe, waiting).started(pipe.execute())
    assert len({one.started(replies).id for one in queued}) == 1
    keys = client.store.keys
    assert sum(mine.xlen(keys.inbox(number)) for number in range(2)) == 1


def test_keys_that_became_those_of_another_program_are_an_answer(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    pipe.set("mine", "1")
    queued = client.start_workflow_in(pipe, waiting)
    for number in range(2):
        mine.set(client.store.keys.inbox(number), "foreign")
    replies = pipe.execute()
    with pytest.raises(StoreRefused, match="another namespace"):
        queued.started(replies)
    assert mine.get("mine") == b"1"


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_full_server_takes_a_start_with_the_writes_that_it_takes(kind: Any) -> None:
    with RedisServer(kind) as server, Client(server.url, settings=SETTINGS) as client:
        mine = redis.Redis.from_url(server.url)
        mine.set("mine", "1")
        freeing, taking = mine.pipeline(), mine.pipeline()
        freeing.delete("mine")
        queued = client.start_workflow_in(freeing, waiting)
        refused = client.start_workflow_in(taking, waiting)
        taking.set("theirs", "1")
        mine.config_set("maxmemory", 1)
        took = [is_taken(pipe) for pipe in (freeing, taking)]
        mine.config_set("maxmemory", 0)
        # Redis takes no transaction at all then, Valkey those that need no memory.
        assert took == [kind == "valkey", False]
        assert has_started(client, queued.workflow_id) == took[0] == (mine.get("mine") is None)
        assert not has_started(client, refused.workflow_id)
        assert mine.get("theirs") is None
        mine.close()


def is_taken(pipe: Any) -> bool:
    try:
        pipe.execute()
    except redis.exceptions.OutOfMemoryError:
        return False
    return True


# --- reading the outcome ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replies", [None, [], "OK", [b"OK"]])
def test_replies_of_something_else_are_no_outcome(replies: Any) -> None:
    with environment([greet]) as env, env.redis().pipeline() as pipe:
        queued = env.client.start_workflow_in(pipe, waiting)
        with pytest.raises(InvalidRequest, match="transaction"):
            queued.started(replies)


def test_an_error_among_the_replies_is_raised_as_ours(client: Client, mine: Any) -> None:
    pipe = mine.pipeline()
    queued = client.start_workflow_in(pipe, waiting)
    with pytest.raises(StoreRefused, match="start on"):
        queued.started([redis.ResponseError("ERR something")])


# --- options, to the end, and asyncio ---------------------------------------------------------------------------------


def test_what_was_started_in_a_transaction_runs_to_its_end() -> None:
    with environment([greet]) as env, env.redis().pipeline() as pipe:
        workflow = env.client.start_workflow_in(pipe, hello, name="Ada")
        task = env.client.with_options(delay_s=60, unique_key="k").enqueue_in(pipe, greet, name="Bob")
        other = env.client.enqueue_in(pipe, greet.with_options(priority=7, unique_key="k"), name="Eve")
        began_ms = env.clock.now_ms()
        replies = pipe.execute()
        assert workflow.started(replies).result() == {"result": "Hello, Ada"}
        assert task.started(replies).result() == {"result": "Hello, Bob"}
        assert env.clock.now_ms() - began_ms == 60_000
        assert (other.started(replies).id, other.started(replies).existed) == (task.workflow_id, True)


def test_a_client_over_http_cannot_join_a_transaction() -> None:
    client = Client("http://127.0.0.1:1")
    with environment() as other, pytest.raises(InvalidRequest, match="need the Redis itself"):
        client.start_workflow_in(other.redis().pipeline(), waiting)


@pytest.fixture
async def theirs(store_url: str) -> Any:
    name = store_url.removeprefix("fakeredis://")
    theirs = redis.asyncio.Redis.from_url(store_url) if name == store_url else fake_async_client(name, 10)
    yield theirs
    await theirs.aclose()


async def test_asyncio_programs_have_the_same(store_url: str, theirs: Any) -> None:
    async with AsyncClient(store_url, settings=SETTINGS) as client:
        pipe = theirs.pipeline()
        pipe.set("mine", "1")
        workflow = await client.start_workflow_in(pipe, waiting, name="Ada")
        task = await client.enqueue_in(pipe, greet, name="Bob")
        await theirs.script_flush()
        replies = await pipe.execute()
        assert (await workflow.started(replies).describe()).input == {"name": "Ada"}
        assert (await task.started(replies).workflow().describe()).input == {"name": "Bob"}
        assert await theirs.get("mine") == b"1"


async def test_asyncio_transactions_that_fail_start_nothing(store_url: str, theirs: Any) -> None:
    async with AsyncClient(store_url, settings=SETTINGS) as client:
        async with theirs.pipeline() as pipe:
            await pipe.watch("stock")
            with pytest.raises(InvalidRequest, match=r"multi\(\) first"):
                await client.start_workflow_in(pipe, waiting)
            pipe.multi()
            queued = await client.start_workflow_in(pipe, waiting)
            await theirs.set("stock", "0")
            with pytest.raises(redis.WatchError):
                await pipe.execute()
        with pytest.raises(WorkflowNotFound):
            await client.workflow(queued.workflow_id).status()
        with pytest.raises(InvalidRequest, match=r"transaction=True"):
            await client.start_workflow_in(theirs.pipeline(transaction=False), waiting)


async def test_a_pipeline_of_the_other_kind_is_refused(valkey_url: str) -> None:
    mine, theirs = redis.Redis.from_url(valkey_url), redis.asyncio.Redis.from_url(valkey_url)
    async with AsyncClient(valkey_url, settings=SETTINGS) as client:
        with pytest.raises(InvalidRequest, match=r"is no pipeline of redis\.asyncio"):
            await client.start_workflow_in(mine.pipeline(), waiting)  # type: ignore[arg-type]
    with (
        Client(valkey_url, settings=SETTINGS) as blocking,
        pytest.raises(InvalidRequest, match="is no pipeline of redis;"),
    ):
        blocking.start_workflow_in(theirs.pipeline(), waiting)  # type: ignore[arg-type]
    mine.close()
    await theirs.aclose()
