"""Clients over HTTP: every method there is, who may call, and what happens when answers do not come."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from orchestrator import AsyncClient, AsyncTaskHandle, AsyncWorkflowHandle, Client, TaskHandle, Workflow, WorkflowHandle
from orchestrator.api import create_app
from orchestrator.client.http_sessions import HttpSession
from orchestrator.client.remote import Answer, Exchange, Lost, Pause, Remote, base_url
from orchestrator.errors import (
    DefinitionInvalid,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ServerUnavailable,
    StoreUnavailable,
    Unauthorized,
    WaitTimeout,
)
from orchestrator.model.access import KeyRole
from orchestrator.model.event_handlers import event_handler_from_dict
from orchestrator.model.schedules import OverlapPolicy
from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.model.workers import ServedType, WorkerInfo, WorkerState
from orchestrator.plan import Plan
from orchestrator.protocol import forms
from orchestrator.protocol.verbs import VERBS, Verb
from orchestrator.service import access, schedules, webhooks, workers, workflows
from orchestrator.service.workers import Order
from orchestrator.settings import Settings
from orchestrator.testing import Environment
from tests.client.conftest import greet, hello, waiting
from tests.support.served import Served, ServedEnvironment

T = TypeVar("T")

HANDLER = {
    "name": "ship",
    "event": "conductor:order:paid",
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "hello", "input": {"name": "${who}"}}}],
}
TOKEN = {"X-Token": "${workflow.secrets.TOKEN}"}
NOT_ASKED = {"over", "run", "close", "connection", "settings", "store"} | {
    "start_workflow_in",
    "enqueue_in",
    "partition_tag",
}
"""Of a client: what is about its session, and what only Redis has."""


FACES = (Client, WorkflowHandle, TaskHandle), (AsyncClient, AsyncWorkflowHandle, AsyncTaskHandle)


class Noted:
    """An object whose methods are noted by name when they are called, and so are those of the handles they give.

    What they give to be awaited is awaited in ``loop``.
    """

    def __init__(self, target: Any, called: set[tuple[type, str]], loop: asyncio.Runner) -> None:
        self._target, self._called, self._loop = target, called, loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        self._called.add((type(self._target), name))
        return lambda *args, **kwargs: self._noted(found(*args, **kwargs))

    def _noted(self, answer: Any) -> Any:
        if inspect.iscoroutine(answer):
            answer = self._loop.run(answer)
        if isinstance(answer, list):
            return [self._noted(item) for item in answer]
        return Noted(answer, self._called, self._loop) if isinstance(answer, (*FACES[0], *FACES[1])) else answer


def public(kind: type) -> set[tuple[type, str]]:
    return {(kind, name) for name in vars(kind) if not name.startswith("_") and name not in NOT_ASKED}


class Awaited:
    """A test's environment as the session of a client whose calls are awaited."""

    def __init__(self, env: Environment) -> None:
        self.settings, self.store, self.connection, self.plan = env.settings, env.store, env.connection, env.plan
        self._env = env

    async def run(self, plan: Plan[T]) -> T:
        return self._env.run(plan)

    async def close(self) -> None:
        """It is closed by the test."""


@pytest.mark.parametrize("face", FACES, ids=["blocking", "awaited"])
def test_every_method_does_the_same_on_redis_and_over_http(env: Environment, face: tuple[type, ...]) -> None:
    called: set[tuple[type, str]] = set()
    with asyncio.Runner() as loop, ExitStack() as closing:
        target: Any = env.client
        if face is FACES[1]:
            url = env.client.settings.server_url
            target = AsyncClient(url) if url else AsyncClient.over(Awaited(env))
            closing.callback(lambda: loop.run(target.close()))
        _all_methods(env, Noted(target, called, loop))
    assert called == {one for kind in face for one in public(kind)}


def _all_methods(env: Environment, client: Any) -> None:
    _definitions_and_starts(env, client)
    _acts_on_what_is_under_way(env, client)
    _acts_on_what_has_ended(env, client)
    _events(env, client)
    _schedules(env, client)
    _queues(env, client)
    _webhooks(env, client)
    _workers(env, client)


def _definitions_and_starts(env: Environment, client: Any) -> None:
    assert [applied.name for applied in client.register(hello, greet)] == ["greet", "hello"]
    assert client.execute_workflow("hello", name="Ada") == {"result": "Hello, Ada"}
    handle = client.with_options(correlation_id="c", idempotency_key="k").start_workflow(waiting)
    assert not handle.existed
    again = client.with_options(idempotency_key="k", idempotency_strategy="RETURN_EXISTING").start_workflow(waiting)
    assert (again.id, again.existed) == (handle.id, True)
    assert client.workflow(handle.id).status() == "RUNNING"
    assert client.running_workflows("waiting") == [handle.id]
    assert client.correlated_workflows("waiting", ["c"]) == {"c": [handle.id]}
    (line,) = client.list_workflows(correlation_id="c").items
    assert (line.workflow_id, line.status) == (handle.id, "RUNNING")
    assert client.search("workflowType=hello").items[0].output == '{"result":"Hello, Ada"}'
    assert client.search_tasks("taskDefName=greet").total == 1
    tried = client.test_workflow("hello", {"name": "x"}, mocks={"greet": [{"result": "mocked"}]})
    assert tried.status == "COMPLETED"
    halt = client.execute_until_halt(waiting)
    assert (halt.target.status, halt.timed_out) == ("RUNNING", False)
    task, other = client.enqueue_many([(greet, {"name": "a"}), (greet, {"name": "b"})])
    assert task.result(timeout_s=5) == {"result": "Hello, a"}
    assert other.workflow().output() == {"result": "Hello, b"}
    once = client.with_options(unique_key="u")
    first, second = once.enqueue(greet, name="c"), once.enqueue(greet, name="d")
    assert (second.id, second.existed, second.result(timeout_s=5)) == (first.id, True, {"result": "Hello, c"})
    at = env.clock.now + timedelta(hours=1)
    assert client.with_options(at=at).enqueue(greet, name="e").result() == {"result": "Hello, e"}
    assert env.clock.now == at
    later = client.with_options(delay_s=60).enqueue(greet, name="late")
    later.cancel()
    assert later.status() == "TERMINATED"


def _acts_on_what_is_under_way(env: Environment, client: Any) -> None:
    handle = client.start_workflow(waiting)
    handle.pause()
    assert handle.status() == "PAUSED"
    handle.resume()
    handle.update_variables({"a": 1})
    handle.update_state(variables={"b": [1.5, None]})
    assert handle.describe().variables == {"a": 1, "b": [1.5, None]}
    assert [reason.kind for reason in handle.why().reasons] == ["SIGNAL"]
    assert handle.reset_callbacks() == 0
    assert handle.push_message({"paid": 1}, message_id="m") == "m"
    handle.skip("greet", output={"result": "skipped"})
    handle.signal("go", {"name": "Ada"})
    assert handle.describe().task("greet").status == "SKIPPED"
    other = client.start_workflow(waiting)
    halt = other.signal_and_wait("go", {"name": "Bob"})
    assert (halt.workflow.status, halt.output) == ("COMPLETED", {"result": "Hello, Bob"})
    third = client.start_workflow(waiting)
    assert third.update_task("go", output={"name": "Eve"})
    assert third.result() == {"result": "Hello, Eve"}
    fourth = client.start_workflow(waiting)
    fourth.jump("greet", {"name": "Jo"})
    assert fourth.result() == {"result": "Hello, Jo"}
    fifth = client.start_workflow(waiting)
    client.register(Workflow("waiting", version=2).set(ref="new", x=1).wait(ref="go", signal="go"))
    assert fifth.upgrade(2, task_output={"new": {"y": 1}}) == ["new"]
    assert fifth.describe().task("new").output_data == {"y": 1}
    assert client.act_on_workflows("terminate", [fourth.id, "nobody"]).failed.keys() == {fourth.id, "nobody"}


def _acts_on_what_has_ended(env: Environment, client: Any) -> None:
    handle = client.start_workflow(waiting)
    handle.terminate("enough")
    handle.retry()
    handle.terminate()
    handle.restart()
    handle.terminate()
    handle.rerun("go")
    handle.signal("go", {"name": "Ada"})
    assert handle.result() == {"result": "Hello, Ada"}
    copy = client.import_execution(handle.export(), is_new=True)
    assert copy.output() == {"result": "Hello, Ada"}
    copy.remove()
    client.delete_workflow_version("hello", 1)


def _events(env: Environment, client: Any) -> None:
    client.register(hello)
    client.apply_event_handlers(event_handler_from_dict(HANDLER))
    assert client.event_handler("ship") == client.event_handlers()[0] == event_handler_from_dict(HANDLER)
    message = client.publish_event("conductor:order:paid", {"who": "Ada"}, message_id="paid-1")
    env.drain()
    assert message == "paid-1"
    assert client.event_executions("ship")[0].status == "COMPLETED"
    client.delete_event_handler("ship")
    with pytest.raises(NotFound):
        client.event_handler("ship")


def _queues(env: Environment, client: Any) -> None:
    assert client.set_limits("slow", concurrency=2, limit_key="${workflow.input.tenant}").concurrent_exec_limit == 2
    assert client.queue("slow").limits.per_key
    assert client.queue_holders("slow") == []
    client.pause_queue("slow")
    client.enqueue("slow", tenant="a")
    env.decide()
    (waiter,) = client.queue_waiters("slow")
    assert (waiter.standing, waiter.key) == ("READY", "a")
    assert client.drain_queue("slow") == 0
    client.resume_queue("slow")
    assert client.purge_queue("slow", "sent twice") == 1
    assert client.queue_waiters("slow", 5) == []


def _schedules(env: Environment, client: Any) -> None:
    made = client.schedule_workflow("nightly", hello, "0 0 2 * * ?", input={"name": "Ada"})
    assert client.save_schedule(made).name == "nightly"
    assert client.schedule("nightly").cron_expression == client.schedules()[0].cron_expression == "0 0 2 * * ?"
    assert len(client.schedule_times("0 0 2 * * ?", limit=3)) == 3
    client.pause_schedule("nightly", "holidays")
    assert client.schedule("nightly").paused
    client.resume_schedule("nightly")
    assert client.run_schedule("nightly").workflow_id
    env.clock.advance(2 * 86_400)
    env.decide()
    fired = client.schedule_executions("nightly")[0]
    assert fired.workflow_id
    due = datetime.fromtimestamp(fired.scheduled_time / 1000, UTC)
    assert [one.workflow_id for one in client.backfill_schedule("nightly", due, due)] == [fired.workflow_id]
    often = client.schedule_workflow("often", hello, every_s=60, overlap=OverlapPolicy.SKIP, jitter_s=5)
    assert (often.interval_seconds, often.overlap_policy, often.jitter_seconds) == (60, "SKIP", 5)
    client.delete_schedule("nightly")


def _webhooks(env: Environment, client: Any) -> None:
    asked = Webhook(name="bank", verifier=Verifier.HEADER_BASED, headers=TOKEN, workflows_to_start={"hello": None})
    kept = client.save_webhook(asked)
    assert client.webhook(kept.id) == client.webhooks()[0] == kept
    assert client.save_webhook(kept).create_time == kept.create_time
    assert [one.id for one in client.webhooks()] == [kept.id]
    assert (kept.name, kept.headers, kept.workflows_to_start) == ("bank", TOKEN, {"hello": None})
    with pytest.raises(DefinitionInvalid, match="a webhook needs a name"):
        client.save_webhook(Webhook(name=" ", verifier=Verifier.HEADER_BASED, headers=TOKEN))
    with pytest.raises(Unauthorized):
        env.run(webhooks.receive(env.store, kept.id, {"x-token": "guess"}, b"{}", 0))
    env.run(webhooks.receive(env.store, kept.id, {"x-token": "s3cret", "webhook-id": "d"}, b'{"name": "Ada"}', 0))
    env.drain()
    told = {one.status: one for one in client.webhook_deliveries(kept.id)}
    assert (told["COMPLETED"].delivery_id, told["REJECTED"].workflow_ids) == ("d", [])
    assert client.workflow(told["COMPLETED"].workflow_ids[0]).result() == {"result": "Hello, Ada"}
    assert len(client.webhook_deliveries(kept.id, size=1)) == 1
    client.delete_webhook(kept.id)
    with pytest.raises(NotFound):
        client.webhook(kept.id)


def _workers(env: Environment, client: Any) -> None:
    told = WorkerInfo(name="w1", host="here", pid=7, task_types=[ServedType(name="greet", domain="eu", pool="async")])
    assert env.run(workers.beat(env.store, told, {}, 0)) is Order.GO_ON
    (found,) = client.workers()
    assert (found.name, found.pid, found.task_types, found.state) == ("w1", 7, told.task_types, WorkerState.RUNNING)
    assert client.worker("w1").order is None
    assert client.workers("charge") == []
    assert client.pause_workers("w1") == client.drain_workers(task_type="greet") == ["w1"]
    assert client.worker("w1").order == env.run(workers.beat(env.store, told, {}, 0)) == Order.DRAIN
    assert client.resume_workers("w1") == ["w1"]
    assert env.run(workers.beat(env.store, told, {}, 0)) is Order.GO_ON
    with pytest.raises(NotFound, match="no worker w2 lives"):
        client.worker("w2")
    with pytest.raises(NotFound, match="no worker w2 lives"):
        client.pause_workers("w1", "w2")
    with pytest.raises(InvalidRequest, match="say which workers"):
        client.pause_workers()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.path)
def test_what_a_path_names_is_taken_by_its_verb(verb: Verb) -> None:
    named = {part[1:-1] for part in verb.path.split("/") if part.startswith("{")}
    assert named <= forms.parameters_of(verb.plan).keys()
    assert forms.answer_of(verb.plan) is not None


# --- where, and who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h:8080", "http://h:8080/api"),
        ("https://h/flows/", "https://h/flows/api"),
        ("http://h:8080/api", "http://h:8080/api"),
    ],
)
def test_an_address_may_have_a_path_and_end_as_conductors_do(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://user:secret@h", "http://h?x=1"])
def test_what_is_no_address_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        base_url(url)
    assert "secret" not in str(refused.value)


def test_what_needs_redis_says_so(served: ServedEnvironment) -> None:
    with Client(served.url) as client:
        session = client._session
        for needs in (
            lambda: client.store,
            lambda: client.connection,
            lambda: session.plan(access.read_keyring),
        ):
            with pytest.raises(InvalidRequest, match="redis://"):
                needs()


@pytest.fixture
def locked(live: Settings) -> Iterator[tuple[str, dict[KeyRole, tuple[str, str]]]]:
    """The address of a server with keys, and a key of each role."""
    with Client(settings=live) as client, ExitStack() as stack:
        keys = {}
        for role in KeyRole:
            key, secret = client.run(access.create_key(client.store, str(role), role))
            keys[role] = key.id, secret
        yield stack.enter_context(Served(create_app(settings=live))).url, keys


def test_a_client_gets_a_token_with_its_key_and_another_when_it_is_refused(
    locked: tuple[str, dict[KeyRole, tuple[str, str]]],
) -> None:
    url, keys = locked
    key_id, key_secret = keys[KeyRole.VIEWER]
    with Client(url, key_id=key_id, key_secret=key_secret) as client:
        assert client.list_workflows().total == 0
        session = client._session
        assert isinstance(session, HttpSession)
        session.remote._token = "worn out"
        assert client.list_workflows().total == 0
        with pytest.raises(Forbidden, match="needs the role operator"):
            client.start_workflow("hello")
    for wrong in (Client(url), Client(url, key_id=key_id, key_secret="wrong")):
        with wrong, pytest.raises(Unauthorized):
            wrong.list_workflows()


# --- when answers do not come -----------------------------------------------------------------------------------------


class Forgetful(HttpSession):
    """A session that loses the first answer of its server, after the server has done what was asked."""

    def __init__(self, url: str) -> None:
        super().__init__(Settings(server_url=url))
        self.is_fresh, self.pauses = True, list[float]()

    def _do(self, step: Any) -> Any:
        if isinstance(step, Pause):
            return self.pauses.append(step.seconds)
        answer = super()._do(step)
        if isinstance(step, Exchange) and self.is_fresh:
            self.is_fresh = False
            raise Lost("the connection broke", was_sent=True)
        return answer


def test_what_was_started_when_its_answer_was_lost_is_not_started_again(
    env: Environment, served: ServedEnvironment
) -> None:
    url = served.show(env)
    env.client.register(hello, waiting)
    with Client.over(Forgetful(url)) as client:
        handle = client.start_workflow("waiting")
    assert env.client.list_workflows().total == 1
    with Client.over(Forgetful(url)) as client:
        assert client.enqueue_many([("greet", {"name": "a"}), ("greet", {"name": "b"})])[0].id != handle.id
    assert env.client.list_workflows().total == 3
    with Client.over(Forgetful(url)) as client:
        kept = client.save_webhook(Webhook(name="w", verifier=Verifier.HEADER_BASED, headers=TOKEN))
    assert [one.id for one in env.client.webhooks()] == [kept.id]
    with Client.over(Forgetful(url)) as client:
        client.workflow(handle.id).signal("go", {"name": "Ada"})
    assert env.client.workflow(handle.id).result() == {"result": "Hello, Ada"}


def test_what_cannot_be_repeated_is_unknown_when_its_answer_is_lost(
    env: Environment, served: ServedEnvironment
) -> None:
    url = served.show(env)
    handle = env.client.start_workflow(waiting)
    with Client.over(Forgetful(url)) as client, pytest.raises(OutcomeUnknown, match="look whether"):
        client.workflow(handle.id).remove(force=True)
    assert env.client.list_workflows().total == 0


def spoken(answers: list[Answer | Lost]) -> tuple[Any, list[float]]:
    """What a question gives, or raises, when it is answered like this; and how long it pauses between."""
    plan, pauses = Remote("http://h").plan(workflows.standing, "w"), list[float]()
    step: Any = next(plan)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = plan.send(None)
                continue
            answer = answers.pop(0)
            step = plan.throw(answer) if isinstance(answer, Lost) else plan.send(answer)
    except StopIteration as stop:
        return stop.value, pauses
    except Exception as error:
        return error, pauses


STANDING = Answer(200, b'{"workflowId": "w", "status": "RUNNING", "output": {}, "reason": null}')
AWAY = Answer(503, b'{"code": "STORE_UNAVAILABLE", "message": "Redis is away"}', "3")


def test_what_passes_by_itself_is_asked_again_as_late_as_the_server_says() -> None:
    found, pauses = spoken([AWAY, Answer(502, b"<html>"), Answer(429, b"{}", "1"), Lost("x", was_sent=True), STANDING])
    assert found.status == "RUNNING"
    assert pauses == [3.0, 0.4, 1.0, 1.6]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (AWAY, StoreUnavailable),
        (Answer(504, b"<html>"), ServerUnavailable),
        (Lost("no route", was_sent=False), ServerUnavailable),
    ],
)
def test_what_does_not_pass_is_raised_after_a_few_tries(answer: Answer | Lost, error: type[Exception]) -> None:
    found, pauses = spoken([answer] * 5)
    assert isinstance(found, error)
    assert len(pauses) == 4


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(429, b'{"code": "RATE_LIMITED", "message": "full"}'), RateLimited),
        (Answer(404, b'{"status": 404, "message": "No such resource"}'), InvalidRequest),
        (Answer(401, b"who are you"), Unauthorized),
        (Answer(500, b"{}"), ServerUnavailable),
    ],
)
def test_what_waiting_cannot_mend_is_raised_at_once(answer: Answer, error: type[Exception]) -> None:
    found, pauses = spoken([answer])
    assert (type(found), pauses) == (error, [])


def test_long_waits_are_made_of_requests_that_proxies_bear() -> None:
    plan = Remote("http://h").plan(workflows.result, "w", 50)
    steps: list[Any] = [next(plan), plan.send(STANDING), plan.send(STANDING)]
    assert [step.body for step in steps] == [b'{"waitS":20.0}', b'{"waitS":20.0}', b'{"waitS":10.0}']
    assert max(step.timeout_s for step in steps) < 60
    with pytest.raises(WaitTimeout, match="still RUNNING after 50 s"):
        plan.send(STANDING)


def test_the_row_of_a_verb_is_found_by_its_plan() -> None:
    assert {verb.plan for verb in VERBS if verb.path == "schedules"} == {schedules.list_schedules}
    assert len({verb.plan for verb in VERBS}) == len(VERBS)
