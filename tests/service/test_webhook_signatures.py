"""What each platform signs, with signatures made here by the rule of the platform's own documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.service.webhook_signatures import why_rejected

BODY = b'{"a": 1}'
NOW_S = 1_700_000_000
SECRET = "s3cret"


def mac(text: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def judged(
    verifier: Verifier, headers: dict[str, str], body: bytes = BODY, secret: str = SECRET, **fields: str
) -> bool:
    webhook = Webhook(name="w", verifier=verifier, **fields)  # type: ignore[arg-type]
    return why_rejected(webhook, secret, {"X-Token": SECRET, "X-Two": "2"}, headers, body, NOW_S * 1000) is None


def test_github() -> None:
    signed = {"x-hub-signature-256": f"sha256={mac(BODY).hex()}"}
    assert judged(Verifier.SIGNATURE_BASED, signed)
    assert not judged(Verifier.SIGNATURE_BASED, signed, b"other")
    assert not judged(Verifier.SIGNATURE_BASED, {})
    assert judged(Verifier.SIGNATURE_BASED, {"x-own": signed["x-hub-signature-256"]}, header_key="X-Own")


@pytest.mark.parametrize(("off_s", "expected"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_slack_and_stripe_refuse_what_is_too_old(off_s: int, expected: bool) -> None:
    time = str(NOW_S + off_s)
    slack = {
        "x-slack-request-timestamp": time,
        "x-slack-signature": f"v0={mac(b'v0:' + time.encode() + b':' + BODY).hex()}",
    }
    assert judged(Verifier.SLACK_BASED, slack) is expected
    stripe = {"stripe-signature": f"t={time},v1={'0' * 64},v1={mac(time.encode() + b'.' + BODY).hex()}"}
    assert judged(Verifier.STRIPE, stripe) is expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": "t=,v1="},
        {"stripe-signature": f"t={NOW_S}"},
        {"x-slack-signature": "v0=", "x-slack-request-timestamp": "now"},
        {"authorization": "HMAC é"},
    ],
)
@pytest.mark.parametrize("verifier", list(Verifier))
def test_what_is_no_signature_is_refused(verifier: Verifier, headers: dict[str, str]) -> None:
    assert not judged(verifier, headers)


def test_teams_and_plain_hmac() -> None:
    key = base64.b64encode(b"teams key").decode()
    given = {"authorization": f"HMAC {base64.b64encode(mac(BODY, b'teams key')).decode()}"}
    assert judged(Verifier.HMAC_BASED, given, secret=key, source_platform="Microsoft Teams")
    assert not judged(Verifier.HMAC_BASED, given, secret="no base64!", source_platform="Microsoft Teams")
    assert judged(Verifier.HMAC_BASED, {"x-sig": mac(BODY).hex()}, header_key="X-Sig")
    assert judged(Verifier.HMAC_BASED, {"authorization": f"HMAC {base64.b64encode(mac(BODY)).decode()}"})


def test_every_header_must_be_as_said() -> None:
    assert judged(Verifier.HEADER_BASED, {"x-token": SECRET, "x-two": "2"})
    assert not judged(Verifier.HEADER_BASED, {"x-token": SECRET})
    assert not judged(Verifier.HEADER_BASED, {"x-token": SECRET, "x-two": "3"})
