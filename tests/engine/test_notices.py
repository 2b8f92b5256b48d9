"""News on its way from a commit: into queues and streams at once, into an outgoing queue for whatever is outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from orchestrator import task
from orchestrator.codec import pack, unpack
from orchestrator.engine import extras
from orchestrator.engine.notices import Notices
from orchestrator.errors import DefinitionInvalid, MissingExtra
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.effects import Notify
from orchestrator.plan import Command, Plan
from orchestrator.settings import Settings
from orchestrator.store import event_queue, installation
from orchestrator.testing import Environment
from tests.support.build import noop, simple, workflow_def
from tests.support.served import MakeEnvironment

HOOK = "https://hook.example/x"


@task
def charge() -> str:
    return "charged"


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    with environment([charge], settings=Settings(partitions=1, task_listener_sink="conductor:tasks")) as env:
        yield env


def heard(sink: str, *tasks: Any) -> WorkflowDef:
    return workflow_def(*tasks, workflow_status_listener_enabled=True, workflow_status_listener_sink=sink)


def queued(env: Environment, place: str) -> list[Any]:
    """What waits in a queue, in order."""
    entries = env.connection.sync().do(Command(("XRANGE", env.store.keys.event_queue(place), "-", "+")))
    return [unpack(fields[3]) for _, fields in entries]


def undelivered(env: Environment) -> int:
    """How many outbox entries could not be delivered."""
    return sum(len(estate.undelivered) for estate in env._decider.estates.values())


def test_news_reaches_a_queue_and_the_start_of_a_task_is_told_when_its_worker_begins(env: Environment) -> None:
    handle = env.client.start_workflow(heard("conductor:news", simple("charge")))
    assert [one["event"] for one in queued(env, "conductor:flow:tasks")] == ["SCHEDULED"]
    env.drain()
    assert handle.status() == "COMPLETED"
    assert [one["event"] for one in queued(env, "conductor:flow:tasks")] == ["SCHEDULED", "IN_PROGRESS", "COMPLETED"]
    assert [one["event"] for one in queued(env, "conductor:flow:news")] == ["STARTED", "COMPLETED", "FINALIZED"]
    assert undelivered(env) == 0


def test_news_for_a_stream_of_the_users_is_json(env: Environment) -> None:
    handle = env.client.start_workflow(heard("redis_stream:news", noop("a")))
    entries = env.connection.sync().do(Command(("XRANGE", "news", "-", "+")))
    told = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
    assert [b'"event":"STARTED"' in told[0][b"payload"], len(told)] == [True, 3]
    assert handle.id.encode() in told[0][b"message_id"]


def test_news_for_an_address_waits_in_a_queue_of_its_own(env: Environment) -> None:
    env.client.start_workflow(heard(HOOK, noop("a")))
    assert [one["event"] for one in queued(env, HOOK)] == ["STARTED", "COMPLETED", "FINALIZED"]
    assert env.connection.sync().do(installation.list_places(env.store.keys)) == [HOOK]


def test_what_cannot_be_told_costs_the_news_and_not_the_workflow(env: Environment) -> None:
    executor = env.connection.sync()
    executor.do(Command(("SADD", "news", "of another program")))
    handle = env.client.start_workflow(heard("redis_stream:news", noop("a")))
    own = env.client.start_workflow(heard(f"redis_stream:{env.store.keys.inbox(0)}", noop("a")))
    assert (handle.status(), own.status()) == ("COMPLETED", "COMPLETED")
    assert undelivered(env) == 0


def test_news_that_cannot_be_passed_on_for_now_is_delivered_later(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = Notices.deliver

    def away(self: Notices, news: Sequence[Notify]) -> Plan[list[bool]]:
        return [False] * len(news)
        yield

    monkeypatch.setattr(Notices, "deliver", away)
    handle = env.client.start_workflow(heard("conductor:news", noop("a")))
    assert handle.status() == "COMPLETED"  # nobody waits for a listener
    assert undelivered(env) == 1
    monkeypatch.setattr(Notices, "deliver", deliver)
    env.clock.advance(10)
    env.decide()
    assert undelivered(env) == 0
    assert [one["event"] for one in queued(env, "conductor:flow:news")] == ["STARTED", "COMPLETED", "FINALIZED"]


def test_news_that_was_delivered_twice_waits_once(env: Environment) -> None:
    notices = Notices(env.store)
    told = [Notify(HOOK, "n1", pack({"event": "STARTED"}))] * 2
    assert env.run(notices.deliver(told)) == [True, True]
    assert len(queued(env, HOOK)) == 1


def test_news_for_an_address_that_takes_none_is_bounded(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.engine.notices.OUTGOING_MAX", 3)
    told = [Notify(HOOK, f"n{number}", pack({"n": number})) for number in range(5)]
    notices = Notices(env.store)
    assert all(env.run(notices.deliver(told[:4])))
    assert [one["n"] for one in queued(env, HOOK)] == [1, 2, 3]
    env.connection.sync().do(event_queue.hear(env.store.keys, HOOK))
    assert env.run(notices.deliver(told[4:])) == [True]  # dropped: the workflow goes on
    assert [one["n"] for one in queued(env, HOOK)] == [1, 2, 3]


@pytest.mark.parametrize("sink", ["sqs:x", "https://", "conductor:", ":x"])
def test_a_listener_that_there_cannot_be_is_refused_when_it_is_registered(env: Environment, sink: str) -> None:
    with pytest.raises(DefinitionInvalid, match="workflowStatusListenerSink"):
        env.client.register(heard(sink, noop("a")))


def test_a_webhook_needs_the_http_client(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.PACKAGES, "HTTP", ("no_such", "http"))
    with pytest.raises(MissingExtra, match=r"listener at workflowStatusListenerSink.*redis-orchestrator\[http\]"):
        env.client.register(heard(HOOK, noop("a")))
