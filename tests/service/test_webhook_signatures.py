"""What each platform signs, with signatures made here by the rule of the platform's own documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.service.webhook_signatures import token_proof, why_rejected

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


KEY = ec.derive_private_key(7, ec.SECP256R1())
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def sendgrid(time: str, body: bytes = BODY, key: ec.EllipticCurvePrivateKey = KEY) -> dict[str, str]:
    signed = key.sign(time.encode() + body, ec.ECDSA(SHA256()))
    return {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signed).decode(),
        "x-twilio-email-event-webhook-timestamp": time,
    }


def test_sendgrid_signs_time_and_body_for_its_public_key() -> None:
    signed = sendgrid(str(NOW_S))
    assert judged(Verifier.SENDGRID, signed, secret_key=PUBLIC)
    assert judged(Verifier.SENDGRID, signed, secret=PUBLIC)
    assert not judged(Verifier.SENDGRID, signed, b"other", secret_key=PUBLIC)
    assert not judged(Verifier.SENDGRID, sendgrid(str(NOW_S), key=ec.generate_private_key(KEY.curve)), secret=PUBLIC)
    later = {**signed, "x-twilio-email-event-webhook-timestamp": str(NOW_S + 1)}
    assert not judged(Verifier.SENDGRID, later, secret_key=PUBLIC)
    assert not judged(Verifier.SENDGRID, sendgrid(str(NOW_S - 301)), secret_key=PUBLIC)
    assert judged(Verifier.SENDGRID, sendgrid(str(NOW_S - 300)), secret_key=PUBLIC)


@pytest.mark.parametrize(("end", "expected"), [("\r\n", True), ("\n", False), ("", False)])
def test_the_delivery_that_sendgrid_publishes_with_its_libraries_is_let_in(end: str, expected: bool) -> None:
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    webhook = Webhook(
        name="mail",
        verifier=Verifier.SENDGRID,
        secret_key="MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpigl"
        "SI8eNEc6wEA3F+g==",
    )
    headers = {
        "x-twilio-email-event-webhook-signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+l"
        "uQAbPIqHh89M15TluLtEZtM=",
        "x-twilio-email-event-webhook-timestamp": "1600112502",
    }
    body = json.dumps([event], separators=(",", ":")).encode() + end.encode()
    assert (why_rejected(webhook, "", {}, headers, body, 1_600_112_502_000) is None) is expected


@pytest.mark.parametrize("key", ["", "no base64!", "AAAA", base64.b64encode(b"no key").decode()])
def test_what_is_no_public_key_lets_nothing_in(key: str) -> None:
    webhook = Webhook(name="w", verifier=Verifier.SENDGRID, secret_key=key)
    assert "not a public key" in str(why_rejected(webhook, "", {}, sendgrid(str(NOW_S)), BODY, NOW_S * 1000))


def test_twitter_signs_the_body_and_asks_for_a_proof() -> None:
    signed = {"x-twitter-webhooks-signature": f"sha256={base64.b64encode(mac(BODY)).decode()}"}
    assert judged(Verifier.TWITTER, signed)
    assert not judged(Verifier.TWITTER, signed, b"other")
    assert not judged(Verifier.TWITTER, {"x-twitter-webhooks-signature": f"sha256={mac(BODY).hex()}"})
    assert token_proof(SECRET, "NWRjYWY4") == f"sha256={base64.b64encode(mac(b'NWRjYWY4')).decode()}"


@pytest.mark.parametrize("token", ["", '{"a": 1}', "{}", '"text"', "a b", "é", "x" * 201])
def test_what_could_be_a_delivery_to_twitter_is_never_signed_as_a_proof(token: str) -> None:
    assert token_proof(SECRET, token) is None


def test_a_signed_proof_for_twitter_is_no_delivery() -> None:
    proof = token_proof(SECRET, "12345")
    assert proof is not None
    assert not judged(Verifier.TWITTER, {"x-twitter-webhooks-signature": proof}, b"12345")


def test_every_header_must_be_as_said() -> None:
    assert judged(Verifier.HEADER_BASED, {"x-token": SECRET, "x-two": "2"})
    assert not judged(Verifier.HEADER_BASED, {"x-token": SECRET})
    assert not judged(Verifier.HEADER_BASED, {"x-token": SECRET, "x-two": "3"})
