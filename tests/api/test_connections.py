"""A server process and clients that are slow, silent, many, or send what is no request: they are ended, others feel nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

REQUEST_S = ANSWER_S = 1.0
CONNECTIONS = "orchestrator.api.connections."
QUICK = {f"{CONNECTIONS}REQUEST_S": REQUEST_S, f"{CONNECTIONS}ANSWER_S": ANSWER_S}
BOUND_S = REQUEST_S + 4.0
"""Within which a client that may take ``REQUEST_S`` is certainly ended, however busy this machine is."""

PROMPT_S = 1.0
FILES_MAX = 200
POST = b"POST /api/metadata/taskdefs HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into the files of another process")


@pytest.fixture(scope="module")
def server(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has little patience with its clients."""
    redis_server.flush()
    with ServerProcess(redis_server.url, tmp_path_factory.mktemp("server") / "log", constants=QUICK) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def line(server: ServerProcess) -> Iterator[socket.socket]:
    """A connection to it."""
    with connected(server) as line:
        yield line


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection(server.address, timeout=30)


def answer(line: socket.socket) -> tuple[int, bytes]:
    """Status and all that follows of one answer, after which the server closes; 0 when it closes without one."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := line.recv(65_536):
            received += data
    status = int(received.split(b" ", 2)[1]) if received else 0
    return status, bytes(received)


def asked(server: ServerProcess, request: bytes) -> tuple[int, bytes]:
    """The answer to bytes sent all at once."""
    with connected(server) as line:
        sending = threading.Thread(target=_send, args=(line, request))
        sending.start()
        found = answer(line)
        sending.join(30)
        return found


def _send(line: socket.socket, request: bytes) -> None:
    with contextlib.suppress(OSError):  # an answer may come, and the end with it, before all is sent
        line.sendall(request)


class Trickle:
    """Sends one byte of a text every tenth of a second, from a thread, until nobody takes it."""

    def __init__(self, line: socket.socket, text: bytes) -> None:
        self._line = line
        self._text = text
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            for place in range(len(self._text)):
                self._line.sendall(self._text[place : place + 1])
                if self._ended.wait(0.1):
                    return


# --- slow clients -----------------------------------------------------------------------------------------------------


TRICKLES = {
    "header": (b"", b"GET /api/health HTTP/1.1\r\nx-long: " + b"a" * 1_000),
    "body": (POST + b"content-length: 5000\r\n\r\n", b"[" + b" " * 1_000),
    "chunks": (POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 200),
    "blank lines": (b"", b"\r\n" * 500),
}


@pytest.mark.alone
def test_requests_that_come_a_byte_at_a_time_are_given_up_and_others_are_answered_meanwhile(
    server: ServerProcess,
) -> None:
    begun_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        lines = {}
        for name, (first, rest) in TRICKLES.items():
            lines[name] = stack.enter_context(connected(server))
            lines[name].sendall(first)
            stack.enter_context(Trickle(lines[name], rest))
        other = stack.enter_context(httpx2.Client(base_url=server.url))
        for _ in range(20):
            asked_s = time.monotonic()
            assert other.get("/health").status_code == 200
            assert time.monotonic() - asked_s < PROMPT_S
        for name, line in lines.items():
            status, said = answer(line)
            assert (status, b"has not arrived in whole" in said) == (408, True), name
    assert REQUEST_S <= time.monotonic() - begun_s < BOUND_S


def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(line: socket.socket) -> None:
    begun_s = time.monotonic()
    assert answer(line) == (0, b"")
    assert REQUEST_S <= time.monotonic() - begun_s < BOUND_S


def test_a_request_that_takes_longer_to_answer_than_it_may_take_to_arrive_is_answered(
    server: ServerProcess, redis_server: RedisServer
) -> None:
    begun_s = time.monotonic()
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        found = http.get("/tasks/poll/batch/nothing", params={"timeout": 2_000})
        assert (found.status_code, found.json()) == (200, [])
        assert time.monotonic() - begun_s > REQUEST_S
        assert http.get("/health").status_code == 200  # on the same connection


def test_a_client_that_never_reads_its_answers_is_ended(server: ServerProcess, line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    request, begun_s = b"GET /api-docs HTTP/1.1\r\nhost: here\r\n\r\n", time.monotonic()
    line.sendall(request * 300)

    def is_ended() -> bool:
        try:
            line.sendall(request)
        except OSError:
            return True
        return False

    assert not is_ended()
    assert httpx2.get(f"{server.url}/health").status_code == 200
    eventually(is_ended, timeout_s=BOUND_S)
    assert time.monotonic() - begun_s >= ANSWER_S


# --- what is no request -----------------------------------------------------------------------------------------------

NESTED = b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
HUGE = b'{"name": "' + b"a" * 100_000_000 + b'"}'
NAMED = b'{"name": "x"}'


def posted(body: bytes, content_type: bytes = b"application/json") -> bytes:
    head = b"POST /api/metadata/taskdefs HTTP/1.1\r\nhost: here\r\nconnection: close\r\n"
    return head + b"content-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (content_type, len(body), body)


def got(path: bytes, headers: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nhost: here\r\nconnection: close\r\n%b\r\n" % (path, headers)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (posted(NESTED), 400),
        (posted(HUGE), 413),
        (posted(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"%x\r\n" % len(HUGE) + HUGE, 413),
        (posted(b'{"name": "\xff\xfe"}'), 400),
        (posted(b'{"name": "x", "retryCount": NaN}'), 400),
        (posted(b'{"name": "x", "retryCount": Infinity}'), 400),
        (posted(b'{"name": "x", "retryCount": 1e999}'), 400),
        (posted(b'{"name": "\\ud800"}'), 400),
        (posted(b"name=x", b"application/x-www-form-urlencoded"), 415),
        (posted(b"<taskDef/>", b"application/xml"), 415),
        (posted(b"--x\r\n\r\n" + NAMED + b"\r\n--x--", b"multipart/form-data; boundary=x"), 415),
        (posted(NAMED, b"text/plain"), 415),
        (posted(NAMED.decode().encode("utf-16"), b"application/json; charset=utf-16"), 400),
        (got(b"/api/metadata/taskdefs/.."), 404),
        (got(b"/api/metadata/../secrets"), 404),
        (got(b"/../../etc/passwd"), 404),
        (got(b"/api/metadata/taskdefs/..%2F..%2Fsecrets"), 404),
        (got(b"/api/workflow/%00"), 404),
        (got(b"/api/workflow/\x00"), 400),
        (got(b"/api/workflow/\xff"), 400),
        (got(b"/api/workflow/%FF"), 400),
        (got(b"/api/workflow/" + b"a" * 60_000), 404),
        (got(b"/api/workflow/" + b"a" * 70_000), 400),
        (got(b"/api/workflow/x?" + b"a=b&" * 15_000), 400),
        (got(b"/api/health", b"x-long: " + b"a" * 300_000 + b"\r\n"), 431),
        (got(b"/api/health", b"x-many: a\r\n" * 30_000), 431),
        (b"no request at all\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, 400),
        (POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"content-length: -1\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"CONNECT other:80 HTTP/1.1\r\nhost: here\r\n\r\n", 400),
    ],
    ids=lambda value: None if isinstance(value, int) else f"{value[:60]!r} of {len(value):,}",
)
def test_what_is_no_request_of_ours_is_refused_and_harms_nothing(
    server: ServerProcess, redis_url: str, request_: bytes, status: int
) -> None:
    found, said = asked(server, request_)
    assert (found, json.loads(said.partition(b"\r\n\r\n")[2])["status"]) == (status, status), said[:500]
    assert httpx2.get(f"{server.url}/health").status_code == 200


# --- many clients -----------------------------------------------------------------------------------------------------


@on_linux
def test_it_opens_as_many_files_as_it_may_and_says_so_when_that_is_not_enough(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    quick = {f"{CONNECTIONS}REFUSED_S": 0.5}
    with ServerProcess(redis_server.url, tmp_path / "log", files_max=FILES_MAX, constants=quick) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")] == [
            [str(FILES_MAX)] * 2
        ]
        with contextlib.ExitStack() as lines:
            kept = httpx2.Client(base_url=server.url)
            lines.enter_context(kept)
            assert kept.get("/health").status_code == 200
            for _ in range(FILES_MAX // 2 - 1):
                lines.enter_context(connected(server))
            eventually(lambda: server.files > FILES_MAX // 2)
            with httpx2.Client(base_url=server.url) as refused:
                found = refused.get("/health")
            assert (found.status_code, found.headers["retry-after"], found.headers["connection"]) == (503, "1", "close")
            assert found.json()["message"] == "the server has as many connections as it may; repeat later"
            assert kept.get("/health").status_code == 200
            for _ in range(2 * FILES_MAX):  # more than there are file descriptors
                lines.enter_context(connected(server))
            assert kept.get("/health").status_code == 200
        assert server.log().count("connections_refused") == 1
        eventually(
            lambda: httpx2.get(f"{server.url}/health").status_code == 200, retry_on=(httpx2.HTTPError, AssertionError)
        )
        assert server.stop() == 0


POLLS = 2_000
POLL_MS = 4_000
CALLS = 60


class Crowd:
    """Many clients on bare sockets, because 2,000 HTTP clients cost this process more than they cost the server."""

    def __init__(self, server: ServerProcess) -> None:
        self._address = server.address
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, count: int) -> None:
        for _ in range(count):
            self._streams.append(await asyncio.open_connection(*self._address))

    async def ask(self, path: str) -> list[bytes]:
        """One request on each connection, all at once; the bodies of the answers, which must be good ones."""
        return await asyncio.gather(*[self._ask(*stream, path) for stream in self._streams])

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [line.split()[1] for line in head.splitlines() if line.lower().startswith(b"content-length")]
        body = await reader.readexactly(int(length))
        assert head.startswith(b"HTTP/1.1 200 OK"), head + body
        return body

    def close(self) -> None:
        for _, writer in self._streams:
            writer.close()


@pytest.fixture
async def crowd(server: ServerProcess) -> AsyncIterator[Crowd]:
    """Clients of whom this process has room for."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * POLLS:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(server)
    yield crowd
    crowd.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def median(http: httpx2.AsyncClient) -> float:
    """The time that half of some calls took at most, in seconds."""
    taken = []
    for _ in range(CALLS):
        asked_s = time.monotonic()
        assert (await http.get("/metadata/taskdefs")).status_code == 200
        taken.append(time.monotonic() - asked_s)
    return sorted(taken)[CALLS // 2]


@pytest.mark.alone
async def test_other_calls_are_answered_promptly_beside_two_thousand_long_polls_and_all_polls_are_answered(
    server: ServerProcess, crowd: Crowd, redis_url: str
) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:
        alone_s = await median(http)
        await crowd.connect(POLLS)
        polls = asyncio.create_task(crowd.ask(f"/tasks/poll/batch/nothing?workerid=host&timeout={POLL_MS}"))
        await asyncio.sleep(0)
        assert (await http.get("/health")).status_code == 200  # it has read what came before
        beside_s = await median(http)
        assert not polls.done()
        assert beside_s < 10 * alone_s + 0.05
        assert await polls == [b"[]"] * POLLS
