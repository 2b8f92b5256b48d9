"""The slot of access: keys, what tokens are signed with, how fast each key asks, and the record of changes.

Every function returns the call to make. Callers: ``service.access``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from orchestrator.model.access import AccessKey, AuditEntry
from orchestrator.plan import Call, Command
from orchestrator.store.keys import Keys

AUDIT_LENGTH_MAX = 100_000
"""About so many changes are on record."""

SIGNING = "signing"

_encode = msgspec.json.Encoder().encode
_read_key = msgspec.json.Decoder(AccessKey).decode
_read_entry = msgspec.json.Decoder(AuditEntry).decode


class Keyring(NamedTuple):
    """All keys by id, revoked ones too, and the secret that tokens are signed with; without keys everybody may do all."""

    keys: dict[str, AccessKey]
    signing: bytes

    @property
    def is_open(self) -> bool:
        """Whether there has never been a key."""
        return not self.keys


def read_keyring(keys: Keys) -> list[Command]:
    """Everything that judging a request needs; two replies for ``keyring_of``."""
    return [
        Command(("HGETALL", keys.access_keys())),
        Command(("HGET", keys.access_meta(), SIGNING)),
    ]


def keyring_of(found: list[bytes], signing: bytes | None) -> Keyring:
    """The keyring from the replies to ``read_keyring``."""
    return Keyring({one.id: one for one in map(_read_key, found[1::2])}, signing or b"")


def write_key(keys: Keys, key: AccessKey, signing: bytes) -> list[Command]:
    """Store a key; the first one ever also brings what tokens are signed with."""
    return [
        Command(("HSETNX", keys.access_meta(), SIGNING, signing)),
        Command(("HSET", keys.access_keys(), key.id, _encode(key))),
    ]


def take_request(keys: Keys, key_id: str, requests_per_s: int) -> Call:
    """Count one request of a key; replies 0, or the milliseconds it must wait."""
    return Call("take_request", (keys.access_rate(key_id),), (requests_per_s,), int)


def append_audit(keys: Keys, entry: AuditEntry) -> Command:
    """Add a line to the record of changes, which forgets its oldest."""
    return Command(("XADD", keys.access_audit(), "MAXLEN", "~", AUDIT_LENGTH_MAX, "*", "b", _encode(entry)))


def latest_audit(keys: Keys, count: int) -> Command:
    """The latest changes, the last first; replies ``list[AuditEntry]``."""
    return Command(
        ("XREVRANGE", keys.access_audit(), "+", "-", "COUNT", count),
        lambda raw: [_read_entry(fields[1]) for _, fields in raw],
    )
