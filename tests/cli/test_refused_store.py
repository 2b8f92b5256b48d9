"""Every role at a Redis that does not let it in: one line that says what, where and what to do; and a lock that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
import redis

from orchestrator import AsyncClient, Client
from orchestrator.errors import StoreForbidden, StoreRefused
from tests.cli.conftest import SHOP, Command, finished
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer, free_port

DOCTOR = ("doctor",)
ROLES = (
    ("workflow", "list"),
    DOCTOR,
    ("decider",),
    ("worker", SHOP),
    ("system",),
    ("server", "--port", "0"),
)
FORBIDDEN, REFUSED = 6, 5


class Lock:
    """A server with users and TLS; ``url`` is where it is for one of them."""

    def __init__(self, server: RedisServer, tls_port: int) -> None:
        self.server = server
        self.tls_url = f"rediss://good:good@127.0.0.1:{tls_port}/0"

    def url(self, user: str) -> str:
        return self.server.url_of(f"{user}@")

    def url_of(self, case: str) -> str:
        """What somebody has who is not let in because of this."""
        return {"password": self.url("good:sesame"), "right": self.url("half:good"), "certificate": self.tls_url}[case]


@pytest.fixture(scope="module")
def lock(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lock]:
    folder, port = tmp_path_factory.mktemp("lock"), free_port()
    own = Authority(folder).sign("127.0.0.1")
    (folder / "users.acl").write_text(
        "user default off\nuser good on >good ~* &* +@all\nuser half on >good ~* &* +@all -xdel\n"
    )
    options = {
        "aclfile": str(folder / "users.acl"),
        "tls-port": str(port),
        "tls-cert-file": str(own.certificate),
        "tls-key-file": str(own.key),
        "tls-auth-clients": "no",
    }
    with RedisServer("redis", options=options, credentials="good:good") as server:
        yield Lock(server, port)


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("password", FORBIDDEN, "refused user name or password of the URL; correct them"),
        ("right", FORBIDDEN, "lacks rights that scripts need; grant them (ACL SETUSER, or its ACL file): +xdel,"),
        ("certificate", REFUSED, "signed by nobody who is trusted here"),
    ],
)
def test_every_role_says_what_is_refused_and_what_to_do_and_ends(
    lock: Lock, command: Command, case: str, status: int, words: str
) -> None:
    environment = {"ORCHESTRATOR_REDIS_URL": lock.url_of(case)}
    started = {role: command(*role, environment=environment) for role in ROLES}
    for role, process in started.items():
        code, out, err = finished(process)
        told = out + err
        assert code == (1 if role == DOCTOR else status), (role, told)
        # The doctor has a column for what is wrong and one for what to do.
        parts = words.split("; ") if role == DOCTOR else [words]
        assert all(part in " ".join(told.split()) for part in parts), (role, told)
        assert "ORCHESTRATOR_REDIS_URL" in told, (role, told)
        assert "Traceback" not in told
        assert "sesame" not in told
    with redis.Redis.from_url(lock.url("good:good")) as client:
        assert client.keys("*") == []


def test_roles_outlive_a_password_that_is_changed_under_them(lock: Lock, command: Command) -> None:
    url, port = lock.url("good:good"), free_port()
    environment = {"ORCHESTRATOR_REDIS_URL": url}
    for role in (("decider",), ("worker", SHOP), ("server", "--port", str(port))):
        command(*role, environment=environment)
    with redis.Redis.from_url(url) as operator, Client(url) as client, httpx2.Client() as http:
        health = f"http://127.0.0.1:{port}/health"
        eventually(lambda: http.get(health).status_code == 200, timeout_s=20, retry_on=(httpx2.TransportError,))
        operator.execute_command("ACL", "SETUSER", "good", "resetpass", ">changed")
        others = [one["id"] for one in operator.client_list() if one["id"] != str(operator.client_id())]
        for name in others:
            operator.client_kill_filter(_id=name)
        eventually(lambda: http.get(health).status_code == 503, timeout_s=20)
        operator.execute_command("ACL", "SETUSER", "good", "resetpass", ">good")
        eventually(lambda: http.get(health).status_code == 200, timeout_s=20)
        assert client.enqueue("greet", name="Ada").result(timeout_s=20) is not None


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("password", StoreForbidden, "refused user name or password"),
        ("right", StoreForbidden, "lacks rights that scripts need"),
        ("certificate", StoreRefused, "signed by nobody who is trusted here"),
    ],
)
def test_clients_raise_it(lock: Lock, case: str, kind: type[StoreRefused], words: str) -> None:
    async def start() -> None:
        async with AsyncClient(lock.url_of(case)) as client:
            await client.start_workflow("hello")

    with Client(lock.url_of(case)) as client, pytest.raises(kind, match=words):
        client.start_workflow("hello")
    with pytest.raises(kind, match=words):
        asyncio.run(start())
