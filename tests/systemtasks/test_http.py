"""HTTP tasks against a real peer on a loopback port: what is sent, what comes out, and every way it can go wrong."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import pytest

from orchestrator import testing
from orchestrator.engine import extras
from orchestrator.errors import DefinitionInvalid, InvalidRequest, MissingExtra
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.service import starting, tasks
from orchestrator.service.starting import Launch
from orchestrator.settings import Settings
from orchestrator.testing import TaskResult
from tests.support.build import step, workflow_def
from tests.systemtasks.peer import Asked, Behaviour, Peer, answer


def definition(given: dict[str, Any], **fields: Any) -> WorkflowDef:
    return workflow_def(step("HTTP", "call", given, **fields))


def call(given: dict[str, Any], settings: Settings | None = None, **fields: Any) -> TaskResult:
    """The one task of a workflow that makes this call."""
    with testing.environment(allow_http=True, settings=settings) as env:
        handle = env.client.start_workflow(definition(given, **fields))
        env.run_until_quiet()
        return testing.WorkflowResult(handle.describe()).task("call")


def settings_for(peer: Peer, **chosen: Any) -> Settings:
    return Settings(**{"http_hosts": peer.hosts, **chosen})


def called(behaviour: Behaviour, given: dict[str, Any] | None = None, **chosen: Any) -> tuple[TaskResult, Asked]:
    """One GET (unless said otherwise) of a peer with this behaviour: the task, and what the peer was asked."""
    with Peer({"/": behaviour}) as peer:
        request = {"uri": peer.url("/"), "method": "GET", **(given or {})}
        task = call({"http_request": request}, settings_for(peer, **chosen))
        return task, peer.asked[0]


def test_a_call_completes_with_status_headers_and_body() -> None:
    task, asked = called(answer(b'{"id": 7}', "201 Created", "X-Kind: a", "X-Kind: b"))
    assert task.status == "COMPLETED"
    assert task.output == {
        "response": {
            "statusCode": 201,
            "reasonPhrase": "Created",
            "headers": {"Content-Length": ["9"], "X-Kind": ["a", "b"]},
            "body": {"id": 7},
        }
    }
    assert (asked.method, asked.path, asked.body) == ("GET", "/", b"")
    assert asked.headers["accept"] == "application/json"
    assert "content-type" not in asked.headers


def test_the_request_may_stand_at_the_top_level_of_the_input() -> None:
    with Peer({"/": answer(b"[1]")}) as peer:
        task = call({"uri": peer.url("/"), "method": "post", "body": {"a": [1]}}, settings_for(peer))
    assert task.output["response"]["body"] == [1]
    assert (peer.asked[0].method, json.loads(peer.asked[0].body)) == ("POST", {"a": [1]})


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"", None),
        (b"12", 12.0),
        (b"1.5", 1.5),
        (b"true", "true"),
        (b"null", "null"),
        (b'"text"', "text"),
        (b"not { json", "not { json"),
        (b'{"cut": ', '{"cut": '),
        (b"[" * 5_000, "[" * 5_000),
        (b'{"n": 123456789012345678901234567890}', '{"n": 123456789012345678901234567890}'),
        ("gr\u00fcn".encode("latin-1"), "gr\ufffdn"),
    ],
)
def test_a_body_is_read_as_json_where_it_is_and_as_text_where_it_is_not(body: bytes, read: Any) -> None:
    task, _ = called(answer(body))
    assert (task.status, task.output["response"]["body"]) == ("COMPLETED", read)


def test_text_is_read_in_its_charset() -> None:
    task, _ = called(answer("gr\u00fcn".encode("latin-1"), "200 OK", "Content-Type: text/plain; charset=latin-1"))
    assert task.output["response"]["body"] == "gr\u00fcn"


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        ({"body": {"a": None}}, "application/json", b'{"a":null}'),
        ({"body": "as it is"}, "application/json", b"as it is"),
        ({"body": "x=1", "contentType": "text/plain"}, "text/plain", b"x=1"),
        (
            {"body": {"a": [1, 2], "b": "c d"}, "contentType": "application/x-www-form-urlencoded"},
            None,
            b"a=1&a=2&b=c+d",
        ),
        ({"body": [1], "headers": {"content-type": "application/vnd.x+json"}}, "application/vnd.x+json", b"[1]"),
    ],
)
def test_a_body_is_sent_as_its_kind_says(given: dict[str, Any], content_type: str | None, body: bytes) -> None:
    _, asked = called(answer(), {"method": "PUT", **given})
    assert asked.body == body
    assert asked.headers["content-type"] == (content_type or "application/x-www-form-urlencoded")


def test_headers_are_sent_without_nulls_and_cannot_change_how_long_the_message_is() -> None:
    headers = {
        "X-One": 1,
        "X-None": None,
        "X-Many": ["a", "b"],
        "Content-Length": "999",
        "Transfer-Encoding": "chunked",
    }
    _, asked = called(answer(), {"method": "POST", "body": "abc", "headers": headers, "accept": ["a/b", "c/d"]})
    assert (asked.headers["x-one"], asked.headers["x-many"], asked.headers["accept"]) == ("1", "b", "a/b, c/d")
    assert asked.headers["content-length"] == "3"
    assert not {"x-none", "transfer-encoding"} & asked.headers.keys()


def test_requests_that_change_something_carry_the_same_idempotency_key_at_every_attempt() -> None:
    with Peer({"/": answer(b"no", "503 Service Unavailable")}) as peer:
        given = {"uri": peer.url("/"), "method": "POST"}
        with testing.environment(allow_http=True, settings=settings_for(peer)) as env:
            env.client.register(TaskDef(name="call", retry_count=2, retry_delay_seconds=1))
            handle = env.client.start_workflow(definition({"http_request": given}))
            env.run_until_quiet()
            result = testing.WorkflowResult(handle.describe())
    assert [task.status for task in result.tasks] == ["FAILED"] * 3
    assert len({asked.headers["idempotency-key"] for asked in peer.asked}) == 1
    assert len(peer.asked) == 3


def test_an_idempotency_key_of_the_definition_stands_and_a_get_needs_none() -> None:
    _, asked = called(answer(), {"method": "DELETE", "headers": {"idempotency-key": "mine"}})
    assert asked.headers["idempotency-key"] == "mine"
    _, asked = called(answer())
    assert "idempotency-key" not in asked.headers


def test_a_call_is_part_of_the_trace_that_its_workflow_was_started_in() -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    with Peer({"/": answer()}) as peer, testing.environment(allow_http=True, settings=settings_for(peer)) as env:
        for headers in ({}, {"traceparent": "mine"}):
            given = {"uri": peer.url("/"), "method": "GET", "headers": headers}
            request = StartWorkflowRequest(name="calls", workflow_def=definition({"http_request": given}))
            env.run(starting.start(env.store, Launch(request, trace=trace)))
            env.run_until_quiet()
    first, second = [{name: asked.headers[name] for name in trace} for asked in peer.asked]
    assert (first, second) == (trace, {**trace, "traceparent": "mine"})
    assert "traceparent" not in called(answer())[1].headers


def test_a_failure_of_the_peer_fails_the_task_with_all_that_was_said() -> None:
    task, _ = called(answer(b'{"error": "closed"}', "503 Service Unavailable", "Retry-After: 5"))
    assert (task.status, task.attempt) == ("FAILED", 0)
    assert task.reason == 'Failed to invoke HTTP task due to: 503 Service Unavailable: {"error": "closed"}'
    response = task.output["response"]
    assert (response["statusCode"], response["body"]) == (503, {"error": "closed"})
    assert response["headers"]["Retry-After"] == ["5"]


def test_a_redirect_of_a_post_is_not_followed() -> None:
    task, _ = called(answer(b"", "302 Found", "Location: /other"), {"method": "POST"})
    assert (task.status, task.reason) == ("FAILED", "No response from the remote service")
    assert task.output["response"]["statusCode"] == 302


def test_a_task_that_nobody_completes_from_outside_times_out() -> None:
    with (
        Peer({"/": answer(b"{}")}) as peer,
        testing.environment(allow_http=True, settings=settings_for(peer)) as env,
    ):
        env.client.register(TaskDef(name="call", timeout_seconds=60, response_timeout_seconds=30))
        given = {"uri": peer.url("/"), "method": "GET"}
        handle = env.client.start_workflow(definition(given, async_complete=True))
        env.drain()
        env.clock.advance(59)
        env.drain()
        assert handle.describe().task("call").status == "IN_PROGRESS", "its worker owes no sign of life any more"
        env.run_until_quiet()
        assert handle.describe().task("call").status == "TIMED_OUT"


def test_async_complete_leaves_the_task_open_until_somebody_completes_it() -> None:
    with Peer({"/": answer(b"{}", "202 Accepted")}) as peer:
        given = {"http_request": {"uri": peer.url("/"), "method": "POST"}}
        with testing.environment(allow_http=True, settings=settings_for(peer)) as env:
            handle = env.client.start_workflow(definition(given, async_complete=True))
            env.run_until_quiet()
            task = handle.describe().task("call")
            assert (task.status, task.output_data["response"]["statusCode"]) == ("IN_PROGRESS", 202)
            done = tasks.update_task_by_ref(env.client.store, handle.id, "call", "COMPLETED", {"paid": True})
            assert env.client.run(done).is_accepted
            env.run_until_quiet()
            result = testing.WorkflowResult(handle.describe()).assert_completed()
    assert result.task("call").output["paid"] is True
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"method": "GET"}, "Missing HTTP URI. See documentation for HttpTask for required input parameters"),
        ({"uri": "http://peer.example/"}, "No HTTP method specified"),
        ({"uri": "http://peer.example/", "method": "GET\r\nX: y"}, "is no HTTP method"),
        ({"uri": "file:///etc/passwd", "method": "GET"}, "is no http or https URL"),
        ({"uri": "http://peer.example:99999/", "method": "GET"}, "is no http or https URL"),
        ({"uri": "http://peer.example/", "method": "GET", "readTimeOut": "soon"}, "readTimeOut must be a number"),
        ({"uri": "http://peer.example/", "method": "GET", "headers": {"a": "b\r\nc: d"}}, "no header can hold"),
        ({"uri": "http://peer.example/", "method": "GET", "headers": "a: b"}, "headers must be an object"),
    ],
)
def test_a_request_that_cannot_be_sent_fails_with_the_reason(given: dict[str, Any], reason: str) -> None:
    task = call({"http_request": given})
    assert task.status == "FAILED"
    assert reason in (task.reason or "")


# --- peers that misbehave -------------------------------------------------------------------------------------------------


def test_a_peer_that_never_answers_costs_the_read_time_out() -> None:
    with Peer({}) as peer:
        peer.behaviours["/"] = peer.hang
        task = call({"uri": peer.url("/"), "method": "GET", "readTimeOut": 100}, settings_for(peer))
    assert (task.status, task.reason) == ("FAILED", "Failed to invoke HTTP task due to: ReadTimeout")
    assert task.output == {"response": task.reason}


def test_a_peer_that_dribbles_for_ever_is_cut_off_after_the_time_for_all_of_it() -> None:
    with Peer({}) as peer:

        def dribble(asked: Asked, connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not peer.is_ending():
                connection.sendall(b".")
                connection.settimeout(0.02)
                try:
                    if not connection.recv(1):
                        return
                except TimeoutError:
                    continue

        peer.behaviours["/"] = dribble
        given = {"uri": peer.url("/"), "method": "GET", "readTimeOut": 150, "connectionTimeOut": 100}
        task = call(given, settings_for(peer, http_timeout_s=0.2))
    assert task.status == "FAILED"
    assert "the call took longer than 0.25 s in all" in (task.reason or "")


def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    with Peer({}) as peer:

        def pour(asked: Asked, connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not peer.is_ending():
                connection.sendall(b"x" * 65_536)

        peer.behaviours["/"] = pour
        task = call({"uri": peer.url("/"), "method": "GET"}, settings_for(peer, http_response_bytes_max=100_000))
    assert task.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "longer than 100,000 bytes" in (task.reason or "")


def test_a_compressed_answer_is_read_and_a_compressed_bomb_is_not() -> None:
    task, asked = called(answer(gzip.compress(b'{"a": 1}'), "200 OK", "Content-Encoding: gzip"))
    assert (task.output["response"]["body"], asked.headers["accept-encoding"]) == ({"a": 1}, "gzip, deflate")
    bomb = answer(gzip.compress(b"0" * 50_000_000), "200 OK", "Content-Encoding: gzip")
    task, _ = called(bomb, http_response_bytes_max=100_000)
    assert "longer than 100,000 bytes" in (task.reason or "")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
        (answer(b"\x1f\x8bno", "200 OK", "Content-Encoding: gzip"), "the compressed answer is damaged"),
        (answer(gzip.compress(b"{}", mtime=0)[:-4], "200 OK", "Content-Encoding: gzip"), "ends too early"),
        (answer(b"{}", "200 OK", "Content-Encoding: zz"), "content encoding 'zz'"),
    ],
)
def test_an_answer_that_is_no_http_fails_with_what_is_wrong(raw: bytes, reason: str) -> None:
    task, _ = called(lambda asked, connection: connection.sendall(raw))
    assert task.status == "FAILED"
    assert reason in (task.reason or "")


def test_nobody_listening_fails_the_task() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    task = call({"uri": "http://gone.example/", "method": "GET"}, Settings(http_hosts=f"gone.example=127.0.0.1:{port}"))
    assert task.status == "FAILED"
    assert "ConnectError" in (task.reason or "")


# --- the guard ----------------------------------------------------------------------------------------------------------------


def test_a_loopback_address_is_refused_unless_the_settings_allow_it() -> None:
    with Peer({"/": answer(b"{}")}) as peer:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f.1"):
            task = call({"uri": f"http://{host}:{peer.port}/", "method": "GET"})
            assert (task.status, peer.asked) == ("FAILED_WITH_TERMINAL_ERROR", [])
            assert "is not a public address and HTTP tasks must not reach it" in (task.reason or "")
        allowed = Settings(http_allow="127.0.0.0/8")
        assert call({"uri": f"http://127.0.0.1:{peer.port}/", "method": "GET"}, allowed).status == "COMPLETED"
        allowed = Settings(http_allow="localhost")
        assert call({"uri": f"http://localhost:{peer.port}/", "method": "GET"}, allowed).status == "COMPLETED"


def test_a_redirect_is_followed_and_judged_like_the_first_address() -> None:
    with Peer({"/end": answer(b'{"at": "end"}')}) as peer:
        peer.behaviours["/good"] = answer(b"", "302 Found", f"Location: {peer.url('/end')}")
        peer.behaviours["/bad"] = answer(b"", "302 Found", f"Location: http://127.0.0.1:{peer.port}/end")
        peer.behaviours["/round"] = answer(b"", "302 Found", "Location: /round")
        settings = settings_for(peer, http_redirects_max=3)
        task = call({"uri": peer.url("/good"), "method": "GET"}, settings)
        assert task.output["response"]["body"] == {"at": "end"}
        task = call({"uri": peer.url("/bad"), "method": "GET"}, settings)
        assert task.status == "FAILED_WITH_TERMINAL_ERROR"
        assert "127.0.0.1 is not a public address" in (task.reason or "")
        task = call({"uri": peer.url("/round"), "method": "GET"}, settings)
        assert task.reason == "Failed to invoke HTTP task due to: redirected more than 3 times"


def test_what_a_redirect_says_besides_is_not_read() -> None:
    with Peer({"/end": answer(b'{"at": "end"}')}) as peer:

        def pour(asked: Asked, connection: socket.socket) -> None:
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {peer.url('/end')}\r\n\r\n".encode())
            while not peer.is_ending():
                connection.sendall(b"x" * 65_536)

        peer.behaviours["/"] = pour
        task = call({"uri": peer.url("/"), "method": "GET"}, settings_for(peer))
    assert task.output["response"]["body"] == {"at": "end"}


def test_keys_and_tokens_are_not_sent_on_to_another_host() -> None:
    with Peer({"/": answer(b"{}")}) as peer:
        peer.behaviours["/same"] = answer(b"", "302 Found", "Location: /")
        peer.behaviours["/other"] = answer(b"", "302 Found", "Location: http://other.example/")
        settings = Settings(http_hosts=f"{peer.hosts},other.example=127.0.0.1:{peer.port}")
        given = {"method": "GET", "headers": {"X-Key": "secret", "Authorization": "Bearer secret"}, "accept": "a/b"}
        call({"uri": peer.url("/same"), **given}, settings)
        call({"uri": peer.url("/other"), **given}, settings)
    _, same, _, other = (asked.headers for asked in peer.asked)
    assert (same["x-key"], same["authorization"], same["accept"]) == ("secret", "Bearer secret", "a/b")
    assert not {"x-key", "authorization"} & other.keys()
    assert (other["host"], other["accept"]) == ("other.example", "a/b")


def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    with Peer({"/": answer(b"{}", "200 OK", "Set-Cookie: who=ada")}) as peer:
        peer.behaviours["/again"] = answer(b"", "302 Found", "Set-Cookie: a=b", "Location: /")
        call({"uri": peer.url("/again"), "method": "GET"}, settings_for(peer))
    assert [asked.headers.get("cookie") for asked in peer.asked] == [None, None]


# --- registering and mocking ------------------------------------------------------------------------------------------


def test_a_definition_is_refused_where_the_optional_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.PACKAGES, "HTTP", ("no_such_module", "http"))
    given = {"uri": "http://peer.example", "method": "GET"}
    with testing.environment() as env, pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[http\]'"):
        env.client.register(definition(given))


def test_a_definition_without_a_request_is_refused() -> None:
    with testing.environment() as env, pytest.raises(DefinitionInvalid, match=r"http_request"):
        env.client.register(definition({}))


def test_in_a_test_nothing_reaches_outside_and_a_fake_stands_in_by_type() -> None:
    flow = definition({"uri": "http://peer.example/", "method": "GET"})
    with pytest.raises(InvalidRequest, match="HTTP"):
        testing.run(flow)
    result = testing.run(flow, tasks={"HTTP": {"response": {"statusCode": 200, "body": 1}}}).assert_completed()
    assert result.task("call").output["response"]["body"] == 1
