"""Whether a delivery is from whom it says: the signatures of the platforms, over the body exactly as it came.

Every comparison takes the same time whatever differs. Signed times may be five minutes off, so that a delivery which was
overheard cannot be repeated later. What TWITTER has a receiver sign as a proof is never what a delivery could be, or
whoever asks for the proof would get a signature for a delivery. Called by ``webhooks``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.errors import MissingExtra
from orchestrator.model.webhooks import Verifier, Webhook

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

WINDOW_S = 300
_TEAMS = "Microsoft Teams"
_TOKEN = re.compile(r"[A-Za-z0-9_\-+/=.]{1,200}")
"""What TWITTER asks to have signed; without a brace it cannot be an object, as every delivery is."""


def why_rejected(
    webhook: Webhook, secret: str, wanted: Mapping[str, str], headers: Mapping[str, str], body: bytes, now_ms: int
) -> str | None:
    """Why a delivery is not let in, or None. ``headers`` by their names in lower case; ``wanted``: what they must be."""
    match webhook.verifier:
        case Verifier.HEADER_BASED:
            same = [_equal(headers.get(name.lower(), ""), value) for name, value in wanted.items()]
            return None if same and all(same) else "a header that proves the sender is missing or wrong"
        case Verifier.SLACK_BASED:
            time = headers.get("x-slack-request-timestamp", "")
            signed = _mac(secret.encode(), b"v0:" + time.encode() + b":" + body).hex()
            return _judge(_equal(headers.get("x-slack-signature", ""), f"v0={signed}"), time, now_ms)
        case Verifier.STRIPE:
            return _stripe(headers.get((webhook.header_key or "stripe-signature").lower(), ""), secret, body, now_ms)
        case Verifier.SENDGRID:
            return _sendgrid(webhook, secret, headers, body, now_ms)
        case Verifier.TWITTER:
            given = headers.get((webhook.header_key or "x-twitter-webhooks-signature").lower(), "")
            return _judge(_equal(given, _proof(secret, body)) and body.lstrip()[:1] == b"{")
        case Verifier.SIGNATURE_BASED:
            given = headers.get((webhook.header_key or "x-hub-signature-256").lower(), "")
            return _judge(_equal(given, f"sha256={_mac(secret.encode(), body).hex()}"))
        case Verifier.HMAC_BASED:
            given = headers.get((webhook.header_key or "authorization").lower(), "")
            return _judge(_is_mac(given, secret, body, is_teams=webhook.source_platform == _TEAMS))


def token_proof(secret: str, token: str) -> str | None:
    """What shows TWITTER that the receiver has the secret too; None for what is no token of theirs."""
    return _proof(secret, token.encode()) if _TOKEN.fullmatch(token) else None


def is_public_key(text: str) -> bool:
    """Whether a text is a key that SENDGRID can sign for. Raises ``MissingExtra`` without cryptography."""
    return _public_key(text) is not None


def is_same(given: str, secret: str) -> bool:
    """Whether a text is the secret, in constant time."""
    return _equal(given, secret)


def _is_mac(given: str, secret: str, body: bytes, *, is_teams: bool) -> bool:
    key = secret.encode()
    if is_teams:
        try:
            key = base64.b64decode(secret, validate=True)
        except (binascii.Error, ValueError):
            return False
    signed = _mac(key, body)
    bare = given.removeprefix("HMAC ").removeprefix("sha256=").strip()
    return _equal(bare, signed.hex()) | _equal(bare, base64.b64encode(signed).decode())


def _proof(secret: str, text: bytes) -> str:
    return f"sha256={base64.b64encode(_mac(secret.encode(), text)).decode()}"


def _sendgrid(webhook: Webhook, secret: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> str | None:
    time = headers.get("x-twilio-email-event-webhook-timestamp", "")
    given = headers.get((webhook.header_key or "x-twilio-email-event-webhook-signature").lower(), "")
    key = _public_key(webhook.secret_key or secret)
    if key is None:
        return "the verification key is not a public key of the kind that SENDGRID shows"
    return _judge(_is_signed_by(key, given, time.encode() + body), time, now_ms)


def _is_signed_by(key: EllipticCurvePublicKey, given: str, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(base64.b64decode(given, validate=True), text, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _public_key(text: str) -> EllipticCurvePublicKey | None:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ImportError:
        raise MissingExtra("a webhook of SENDGRID", "secrets") from None
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _stripe(header: str, secret: str, body: bytes, now_ms: int) -> str | None:
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    time = next((value for name, value in pairs if name == "t"), "")
    signed = _mac(secret.encode(), time.encode() + b"." + body).hex()
    found = [_equal(value, signed) for name, value in pairs if name == "v1"]
    return _judge(any(found), time, now_ms)


def _judge(is_signed: bool, time: str | None = None, now_ms: int = 0) -> str | None:
    if not is_signed:
        return "the signature is missing or wrong"
    if time is not None and (not time.isdecimal() or abs(int(time[:15]) * 1000 - now_ms) > WINDOW_S * 1000):
        return f"the signature is not of the last {WINDOW_S // 60} minutes"
    return None


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
