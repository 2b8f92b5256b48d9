"""Access to the HTTP API: keys and their roles, the tokens they are exchanged for, and the record of changes.

Secrets are made here, long and random, so a plain hash of one is as good as any. A token is a signed statement of who got it
and until when; what its key may do is looked up anew, so that a revoked key lets nobody in a second later. An installation
without keys is open to whoever reaches it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

import msgspec

from orchestrator.clock import SystemClock
from orchestrator.errors import InvalidRequest, MissingExtra, NotFound, TokenExpired, TooFast, Unauthorized
from orchestrator.model.access import AccessKey, AuditEntry, KeyRole
from orchestrator.plan import Plan
from orchestrator.store import access
from orchestrator.store.access import Keyring
from orchestrator.store.context import StoreContext

TOKEN_LIFE_S = 3_600
"""Longer than Conductor's clients wait before they renew theirs (45 minutes)."""

ALGORITHM = "HS256"
OPEN_SIGNING = b"this installation has no keys and is open to whoever reaches it"
NAME_CHARS_MAX = 100
REQUESTS_PER_S_MAX = 100_000
AUDIT_READ_MAX = 10_000

_clock = SystemClock()


# --- keys -------------------------------------------------------------------------------------------------------------


def create_key(
    store: StoreContext, name: str, role: KeyRole, *, requests_per_s: int = 0
) -> Plan[tuple[AccessKey, str]]:
    """A new key and its secret, which is shown this once. The first key closes the installation to all who have none.

    Raises ``InvalidRequest``. Example: ``key, secret = executor.run(create_key(store, "ci", KeyRole.OPERATOR))``
    """
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise InvalidRequest(f"name of a key: 1 to {NAME_CHARS_MAX} characters on one line are needed")
    if not 0 <= requests_per_s <= REQUESTS_PER_S_MAX:
        raise InvalidRequest(f"requests per second: {requests_per_s} is outside 0..{REQUESTS_PER_S_MAX:,}")
    secret = secrets.token_urlsafe(32)
    key = AccessKey(
        id=secrets.token_hex(10),
        name=name,
        role=role,
        secret_hash=_hash(secret),
        create_time=_clock.now_ms(),
        requests_per_s=requests_per_s,
    )
    yield from _write(store, key, "key create")
    return key, secret


def revoke_key(store: StoreContext, key_id: str) -> Plan[None]:
    """Let nobody in by a key any more, also not by tokens it was exchanged for. Raises ``NotFound``."""
    keyring = yield from read_keyring(store)
    key = keyring.keys.get(key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id}; list them with: orchestrator key list")
    if not key.is_revoked:
        yield from _write(store, msgspec.structs.replace(key, revoke_time=_clock.now_ms()), "key revoke")


def list_keys(store: StoreContext) -> Plan[list[AccessKey]]:
    """All keys, revoked ones too, by age."""
    keyring = yield from read_keyring(store)
    return sorted(keyring.keys.values(), key=lambda key: (key.create_time, key.id))


def read_keyring(store: StoreContext) -> Plan[Keyring]:
    """Everything that judging a request needs."""
    replies = yield access.read_keyring(store.keys)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return access.keyring_of(*replies)


def _write(store: StoreContext, key: AccessKey, action: str) -> Plan[None]:
    entry = AuditEntry(at=_clock.now_ms(), key_id="", key_name="", action=action, target=f"{key.id} {key.name}")
    replies = yield [
        *access.write_key(store.keys, key, secrets.token_bytes(32)),
        access.append_audit(store.keys, entry),
    ]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


# --- tokens -----------------------------------------------------------------------------------------------------------


def issue_token(store: StoreContext, key_id: str, secret: str, *, now_s: int | None = None) -> Plan[str]:
    """A token for a key's secret. Raises ``NotFound`` while there are no keys, which clients take for "none needed"."""
    keyring = yield from read_keyring(store)
    if keyring.is_open:
        raise NotFound("this installation has no keys and needs no tokens")
    key = keyring.keys.get(key_id)
    is_right = hmac.compare_digest(_hash(secret), key.secret_hash if key else "")
    if key is None or key.is_revoked or not is_right or not keyring.signing:
        raise Unauthorized("key id and secret do not belong together, or the key was revoked")
    issued_s = _clock.now_ms() // 1000 if now_s is None else now_s
    claims = {"sub": key.id, "iat": issued_s, "exp": issued_s + TOKEN_LIFE_S}
    token: str = _jwt().encode(claims, keyring.signing, algorithm=ALGORITHM)
    return token


def key_of(keyring: Keyring, token: str) -> AccessKey:
    """The key that a token was given for. Raises ``Unauthorized``, ``TokenExpired``."""
    if not token or not keyring.signing:
        raise Unauthorized("a token is needed in X-Authorization; POST key id and secret to /api/token for one")
    jwt = _jwt()
    try:
        claims = jwt.decode(token, keyring.signing, algorithms=[ALGORITHM], options={"require": ["sub", "exp"]})
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the token has expired; get another from /api/token") from None
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"the token is not one of ours: {error}") from None
    key = keyring.keys.get(claims["sub"])
    if key is None or key.is_revoked:
        raise Unauthorized("the key of this token was revoked")
    return key


def sign(store: StoreContext, claims: dict[str, str], life_s: int) -> Plan[str]:
    """A text that nobody else can make and that says ``claims`` for ``life_s``; it is no token."""
    keyring = yield from read_keyring(store)
    payload = {**claims, "exp": _clock.now_ms() // 1000 + life_s}
    text: str = _jwt().encode(payload, _signing(keyring), algorithm=ALGORITHM)
    return text


def signed(store: StoreContext, text: str, names: list[str]) -> Plan[dict[str, str]]:
    """What ``sign`` put into a text, if it has all these names. Raises ``Unauthorized``, ``TokenExpired``."""
    jwt, keyring = _jwt(), (yield from read_keyring(store))
    try:
        found: dict[str, str] = jwt.decode(
            text, _signing(keyring), algorithms=[ALGORITHM], options={"require": [*names, "exp"]}
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the address has expired; ask for another") from None
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"the address is not one of ours: {error}") from None
    return found


def _signing(keyring: Keyring) -> bytes:
    """An open installation has nothing to protect, and no secret."""
    return OPEN_SIGNING if keyring.is_open else keyring.signing


def count_request(store: StoreContext, key: AccessKey) -> Plan[None]:
    """Let one more request of a key in. Raises ``TooFast`` when it has made as many as it may in a second."""
    if key.requests_per_s:
        wait_ms: int = yield access.take_request(store.keys, key.id, key.requests_per_s)
        if wait_ms:
            raise TooFast(f"key {key.name!r} may make {key.requests_per_s:,} requests a second; wait {wait_ms} ms")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _jwt() -> Any:
    try:
        import jwt
    except ImportError:
        raise MissingExtra("a token", "server") from None
    return jwt


# --- the record of changes --------------------------------------------------------------------------------------------


def record(
    store: StoreContext, key: AccessKey, action: str, target: str, *, status: int = 0, origin: str = ""
) -> Plan[None]:
    """Add a change to the record."""
    entry = AuditEntry(
        at=_clock.now_ms(),
        key_id=key.id,
        key_name=key.name,
        action=action,
        target=target[:1_000],
        status=status,
        origin=origin,
    )
    yield access.append_audit(store.keys, entry)


def changes(store: StoreContext, size: int = 100) -> Plan[list[AuditEntry]]:
    """The latest changes, the last first."""
    found: list[AuditEntry] = yield access.latest_audit(store.keys, min(size, AUDIT_READ_MAX))
    return found
