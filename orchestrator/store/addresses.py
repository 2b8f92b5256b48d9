"""Redis URLs: which kind of store, where, as whom. Pure text work; passwords never reach a message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from orchestrator.errors import SettingsInvalid

PORT = 6379
SENTINEL_PORT = 26379
_KINDS = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "fakeredis": "fake",
}


class Address(NamedTuple):
    """One store: ``kind`` is server, sentinel, cluster or fake; ``name`` the sentinel's primary or the fake's name."""

    kind: str
    url: str
    nodes: tuple[tuple[str, int], ...] = ()
    name: str = ""
    options: Mapping[str, Any] = MappingProxyType({})

    @property
    def shown(self) -> str:
        """The URL without user, password and options."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    @property
    def is_encrypted(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.url.startswith("rediss")

    def option(self, name: str) -> str | None:
        """What an option of the URL is set to; None when it is not there."""
        return dict(parse_qsl(urlsplit(self.url).query)).get(name)


def parse_url(url: str) -> Address:
    """The address of a Redis URL; raises ``SettingsInvalid`` naming the schemes that work.

    Example: ``parse_url("redis+sentinel://a:26379,b:26379/primary/0").name == "primary"``
    """
    scheme, separator, rest = url.partition("://")
    kind = _KINDS.get(scheme.lower()) if separator else None
    if kind is None:
        raise SettingsInvalid(f"redis_url: {_hidden(url)!r} is not a Redis URL; use one of {', '.join(_KINDS)}://")
    if kind == "server":
        return Address(kind, url.removeprefix("redis+") if scheme == "redis+unix" else url)
    if kind == "fake":
        return Address(kind, url, name=rest.strip("/") or "default")
    parts = urlsplit(url)
    nodes = _nodes(url, parts, SENTINEL_PORT if kind == "sentinel" else PORT)
    options = _credentials(parts)
    if scheme.startswith("rediss"):
        options["ssl"] = True
    if kind == "cluster":
        return Address(kind, url, nodes, options=options)
    name, _, database = parts.path.strip("/").partition("/")
    if not name or not (database or "0").isdigit():
        raise SettingsInvalid(
            f"redis_url: {_hidden(url)!r} names no primary; write redis+sentinel://host:port/PRIMARY/0"
        )
    options["db"] = int(database or "0")
    return Address(kind, url, nodes, name, options)


def _nodes(url: str, parts: SplitResult, port: int) -> tuple[tuple[str, int], ...]:
    nodes = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        host, separator, number = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not separator:
            host, number = place, str(port)
        if not host or not number.isdigit():
            raise SettingsInvalid(f"redis_url: {_hidden(url)!r}: {place!r} is not host:port")
        nodes.append((host.strip("[]"), int(number)))
    return tuple(nodes)


def _credentials(parts: SplitResult) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if user:
        options["username"] = unquote(user)
    if password:
        options["password"] = unquote(password)
    return options


def _hidden(url: str) -> str:
    """The URL without its password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else url
