"""Where HTTP tasks may connect to: a definition must not be a way into the network that the server stands in.

An address is judged after its name was resolved and for every connection anew, redirects included, so that neither a
name that points inwards nor one that changes its mind gets through. Refused is what is not public: loopback, private,
link-local (cloud metadata), multicast and reserved addresses, also when an IPv4 one is wrapped in IPv6. Exceptions are
the settings ``http_allow`` and, for tests, ``http_hosts``. Pure; sockets are its callers' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings

_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset({"168.63.129.16"})  # a cloud's own service under an address that looks public


class Refusal(Exception):
    """The destination is none that HTTP tasks may reach."""


class Guard:
    """The rules of one process. Raises ``SettingsInvalid`` for settings that cannot be read.

    Example: ``Guard(settings).check("internal.example", "10.0.0.7")``
    """

    def __init__(self, settings: Settings) -> None:
        self._names: set[str] = set()
        self._domains: list[str] = []
        self._networks: list[IPv4Network | IPv6Network] = []
        for word in _words(settings.http_allow):
            self._allow(word)
        self._places = dict(_place(word) for word in _words(settings.http_hosts))

    def place_of(self, host: str) -> tuple[str, int] | None:
        """Where a test has put this host: address and port; None for every other."""
        return self._places.get(_plain(host))

    def check(self, host: str, address: str) -> None:
        """Judge an address that ``host`` was resolved to. Raises ``Refusal`` with what to do about it."""
        found = ip_address(address.partition("%")[0])
        if self._is_allowed(host, found) or all(_is_public(one) for one in _readings(found)):
            return
        shown = host if host == address else f"{host} ({address})"
        raise Refusal(
            f"{shown} is not a public address and HTTP tasks must not reach it; if they should, name it in the setting "
            "http_allow (ORCHESTRATOR_HTTP_ALLOW) of the processes that run system tasks"
        )

    def _is_allowed(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        name = _plain(host)
        if name in self._names or any(name.endswith(domain) for domain in self._domains):
            return True
        return any(one in network for network in self._networks for one in _readings(address))

    def _allow(self, word: str) -> None:
        if "/" in word or word.replace(".", "").isdigit() or ":" in word:
            try:
                self._networks.append(ip_network(word, strict=False))
            except ValueError as error:
                raise SettingsInvalid(f"http_allow: {word!r} is neither a host nor a network: {error}") from error
        elif word.startswith("*."):
            self._domains.append(_plain(word[1:]))
        else:
            self._names.add(_plain(word))


def _words(text: str) -> Iterator[str]:
    return (word.strip() for word in text.split(",") if word.strip())


def _place(word: str) -> tuple[str, tuple[str, int]]:
    host, _, place = word.partition("=")
    address, _, port = place.rpartition(":")
    if not host or not address or not port.isdigit():
        raise SettingsInvalid(f"http_hosts: {word!r} is not host=address:port")
    return _plain(host), (address.strip("[]"), int(port))


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def _readings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and those that it stands for when it wraps another."""
    if isinstance(address, IPv4Address):
        return [address]
    wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        wrapped.append(IPv4Address(int(address) & 0xFFFFFFFF))
    inner = [one for one in wrapped if one is not None]
    # A mapped address is the IPv4 one and nothing else; the other forms are public by themselves too.
    return [*inner] if address.ipv4_mapped is not None else [address, *inner]


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and str(address) not in _METADATA
