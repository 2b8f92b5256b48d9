"""A Redis that does not let one in: a wrong password, missing rights, TLS that does not fit; what is said and by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.errors import OrchestratorError, SettingsInvalid, StoreForbidden, StoreRefused, StoreUnavailable
from orchestrator.plan import Command
from orchestrator.store.connection import connect
from orchestrator.store.failures import is_passing
from tests.support.certificates import Authority, Certificate
from tests.support.redis_server import RedisServer, free_port

USERS = (
    "user default off\n"
    "user good on >good ~* &* +@all\n"
    "user blind on >good ~* &* +@all -info -get\n"
    "user elsewhere on >good ~other:* &* +@all\n"
)


class Fort(NamedTuple):
    """A server that asks for a user, and its port for TLS."""

    server: RedisServer
    tls_port: int
    folder: Path

    def url(self, user: str, options: str = "", *, tls: bool = True, host: str = "127.0.0.1") -> str:
        place = f"{host}:{self.tls_port}/0" if tls else self.server.url_of("").removeprefix("redis://")
        return f"rediss://{user}@{place}{options}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def fort(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Fort]:
    """With a certificate for 127.0.0.1 alone."""
    assert redis_server.pid is not None
    yield from guarded(tmp_path_factory.mktemp("fort"), authority, authority.sign("127.0.0.1"))


def guarded(folder: Path, authority: Authority, own: Certificate, clients: str = "no") -> Iterator[Fort]:
    users, port = folder / "users.acl", free_port()
    users.write_text(USERS)
    options = {
        "aclfile": str(users),
        "tls-port": str(port),
        "tls-cert-file": str(own.certificate),
        "tls-key-file": str(own.key),
        "tls-ca-cert-file": str(authority.certificate),
        "tls-auth-clients": clients,
    }
    with RedisServer("redis", options=options, credentials="good:good") as server:
        yield Fort(server, port, folder)


def refused(url: str) -> OrchestratorError:
    """What is raised, the same by both executors; never with the password."""
    step = Command(("GET", "orc:{orc.c}:meta"))

    async def ask() -> OrchestratorError:
        connection = connect(url)
        with pytest.raises(OrchestratorError) as found:
            await connection.asynchronous().do(step)
        await connection.aclose()
        return found.value

    connection = connect(url)
    with pytest.raises(OrchestratorError) as found:
        connection.sync().do(step)
    connection.close()
    other = asyncio.run(ask())
    assert type(found.value) is type(other)
    assert advice(found.value) == advice(other)
    assert "sesame" not in f"{found.value}{other}"
    return found.value


def advice(error: OrchestratorError) -> str:
    return str(error).partition(" (")[0]


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("good:sesame", "Redis refused user name or password of the URL; correct them"),
        ("nobody:sesame", "Redis refused user name or password of the URL; correct them"),
        ("", "Redis asks for a password; put it in the URL, redis://:PASSWORD@host:6379/0"),
        ("blind:good", "GET orc:{orc.c}:meta: the Redis user lacks rights; grant it ~<namespace>:*"),
        ("elsewhere:good", "GET orc:{orc.c}:meta: the Redis user lacks rights; grant it ~<namespace>:*"),
    ],
)
def test_who_is_not_let_in_is_told_what_is_wanted_and_where(fort: Fort, user: str, words: str) -> None:
    error = refused(fort.server.url_of(f"{user}@" if user else ""))
    assert isinstance(error, StoreForbidden)
    assert str(error).startswith(words)
    assert f"({fort.server.url_of('')}: " in str(error)
    assert is_passing(error)


def test_a_certificate_that_nobody_here_vouches_for_is_refused_with_what_to_name(fort: Fort, tmp_path: Path) -> None:
    strange = Authority(tmp_path, "stranger").certificate
    for options in ("", f"?ssl_ca_certs={strange}"):
        error = refused(fort.url("good:good", options))
        assert type(error) is StoreRefused
        assert "signed by nobody who is trusted here" in str(error)
        assert "?ssl_ca_certs=FILE" in str(error)
        assert f"(rediss://127.0.0.1:{fort.tls_port}/0: " in str(error)
        assert is_passing(error)


def test_a_certificate_for_another_host_is_refused(fort: Fort, authority: Authority) -> None:
    error = refused(fort.url("good:good", f"?ssl_ca_certs={authority.certificate}", host="localhost"))
    assert type(error) is StoreRefused
    assert "is for another host; write into the URL a name that the certificate has" in str(error)


def test_an_expired_certificate_is_refused(redis_server: RedisServer, authority: Authority, tmp_path: Path) -> None:
    for fort in guarded(tmp_path, authority, authority.sign("127.0.0.1", is_expired=True)):
        error = refused(fort.url("good:good", f"?ssl_ca_certs={authority.certificate}"))
        assert type(error) is StoreRefused
        assert "has expired; renew it on the server" in str(error)


def test_a_server_that_asks_clients_for_a_certificate_says_so(
    redis_server: RedisServer, authority: Authority, tmp_path: Path
) -> None:
    for fort in guarded(tmp_path, authority, authority.sign("127.0.0.1"), clients="yes"):
        trusted = f"?ssl_ca_certs={authority.certificate}"
        connection = connect(fort.url("good:good", trusted))
        # Whether its reason comes before the end of the connection is chance.
        with pytest.raises((StoreRefused, StoreUnavailable), match=r"\?ssl_certfile=FILE&ssl_keyfile=FILE"):
            connection.check()
        connection.close()
        own = authority.sign("client")
        connection = connect(fort.url("good:good", f"{trusted}&ssl_certfile={own.certificate}&ssl_keyfile={own.key}"))
        assert connection.check() == []
        connection.close()


def test_a_file_that_is_not_there_or_holds_no_certificate_is_named(fort: Fort, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"ssl_ca_certs of rediss://127.* names .*nowhere.pem, which is no file"):
        connect(fort.url("good:good", f"?ssl_ca_certs={tmp_path / 'nowhere.pem'}"))
    (tmp_path / "empty.pem").write_text("")
    error = refused(fort.url("good:good", f"?ssl_ca_certs={tmp_path / 'empty.pem'}"))
    assert "is not what it should be" in str(error)


def test_a_url_with_the_other_scheme_is_told_so(fort: Fort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.connection.CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("orchestrator.store.connection.COMMAND_TIMEOUT_S", 0.3)
    for url, words in (
        (fort.url("good:good", tls=False), "write redis:// instead of rediss://"),
        (fort.url("good:good").replace("rediss:", "redis:"), "write rediss:// instead of redis://"),
    ):
        connection = connect(url)
        with pytest.raises(StoreUnavailable, match=words):
            connection.check()
        connection.close()
