"""Which addresses HTTP tasks may reach: the public ones, and what the settings add."""

from __future__ import annotations

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings
from orchestrator.systemtasks.guard import Guard, Refusal

INWARD = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "168.63.129.16", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1",
]  # fmt: skip
OUTWARD = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INWARD)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(Refusal, match=r"bank\.example .* is not a public address .*http_allow"):
        Guard(Settings()).check("bank.example", address)


@pytest.mark.parametrize("address", OUTWARD)
def test_public_addresses_are_reached(address: str) -> None:
    Guard(Settings()).check("bank.example", address)


@pytest.mark.parametrize(
    ("allow", "host", "address"),
    [
        ("bank.example", "Bank.Example.", "10.0.0.1"),
        ("*.corp.example", "a.b.corp.example", "10.0.0.1"),
        ("10.0.0.0/8, 192.168.1.1", "bank.example", "10.0.0.1"),
        ("10.0.0.0/8, 192.168.1.1", "bank.example", "192.168.1.1"),
        ("10.0.0.0/8", "bank.example", "::ffff:10.0.0.1"),
        ("fd00::/8", "bank.example", "fd00::7"),
    ],
)
def test_the_setting_http_allow_opens_hosts_domains_and_networks(allow: str, host: str, address: str) -> None:
    Guard(Settings(http_allow=allow)).check(host, address)


@pytest.mark.parametrize("host", ["corp.example", "evilcorp.example", "bank.example.evil.example"])
def test_a_name_that_only_looks_like_an_allowed_one_is_refused(host: str) -> None:
    with pytest.raises(Refusal):
        Guard(Settings(http_allow="*.corp.example,bank.example")).check(host, "10.0.0.1")


def test_a_test_says_where_a_host_is() -> None:
    guard = Guard(Settings(http_hosts="bank.example=127.0.0.1:8081, v6.example=[::1]:80"))
    assert guard.place_of("BANK.example") == ("127.0.0.1", 8081)
    assert guard.place_of("v6.example") == ("::1", 80)
    assert guard.place_of("other.example") is None


@pytest.mark.parametrize(
    "chosen", [{"http_allow": "10.0.0.0/99"}, {"http_hosts": "bank.example"}, {"http_hosts": "a=b:c"}]
)
def test_settings_that_cannot_be_read_are_refused(chosen: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match=next(iter(chosen))):
        Guard(Settings(**chosen))  # type: ignore[arg-type]
