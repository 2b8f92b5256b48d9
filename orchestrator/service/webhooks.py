"""Webhooks: their definitions, what arrives at them, and what became of it.

A delivery is verified, put into a stream under the id its sender gave it, and only then acknowledged; what follows from
it is done by whoever reads the stream (``webhook_deliveries``). A secret that comes in clear is kept as an encrypted
secret of the installation, and the definition only refers to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from orchestrator.clock import SystemClock
from orchestrator.codec import pack
from orchestrator.core.secret_references import REFERENCE
from orchestrator.errors import DefinitionInvalid, InvalidRequest, NotFound, Problem, StoreUnavailable, Unauthorized
from orchestrator.model.webhooks import Delivery, Verifier, Webhook, validate_webhook
from orchestrator.plan import Plan
from orchestrator.service import secrets
from orchestrator.service.starting import new_request_id
from orchestrator.service.webhook_signatures import is_public_key, is_same, token_proof, why_rejected
from orchestrator.store import catalog, event_queue
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import Published

EVENT = "webhooks"
"""The queue of everything that has arrived and is not yet carried out."""

LISTED_MAX = 1_000
_ID_CHARS_MAX = 200
_ID_HEADERS = ("webhook-id", "x-github-delivery", "x-delivery-id", "idempotency-key")
_ID_FIELDS = {Verifier.SLACK_BASED: "event_id", Verifier.STRIPE: "id"}
_KNOWN_BY_BODY = frozenset({Verifier.SENDGRID, Verifier.TWITTER})
"""They send no id, and each of their bodies has ids of its events; one that was overheard has its effect only once."""

_OWN = "webhook-"

_clock = SystemClock()


class Receipt(NamedTuple):
    """What the sender is told: ``answer`` is a challenge to be repeated, or empty."""

    delivery_id: str
    answer: str = ""


# --- definitions ------------------------------------------------------------------------------------------------------


def put(store: StoreContext, webhook: Webhook, *, is_new: bool = False, request_id: str | None = None) -> Plan[Webhook]:
    """Store a webhook; gives it as it is kept. One without an id gets ``request_id``, or a fresh one.

    Raises ``DefinitionInvalid``, ``NotFound`` (an id that nobody has, unless ``is_new``) and what keeping a secret raises.
    """
    problems = [*validate_webhook(webhook), *_key_problems(webhook)]
    if problems:
        raise DefinitionInvalid(f"webhook {webhook.name!r}", problems)
    chosen = webhook.id or request_id or new_request_id()
    before: bytes | None = yield catalog.get_webhook(store.keys, chosen)
    if before is None and webhook.id is not None and not is_new:
        raise _unknown(chosen)
    now_ms = _clock.now_ms()
    created = read(before).create_time if before is not None else now_ms
    secret = webhook.secret_value and (yield from _kept(store, f"{_OWN}{chosen}", webhook.secret_value))
    headers = {}
    for name, value in webhook.headers.items():
        own = hashlib.sha256(name.lower().encode()).hexdigest()[:12]
        headers[name] = yield from _kept(store, f"{_OWN}{chosen}-{own}", value)
    kept = replace(webhook, id=chosen, secret_value=secret, headers=headers, create_time=created, update_time=now_ms)
    yield from hear(store)
    yield catalog.put_webhook(store.keys, chosen, msgspec.json.encode(kept))
    return kept


def get(store: StoreContext, webhook_id: str) -> Plan[Webhook]:
    """One webhook. Raises ``NotFound``."""
    body: bytes | None = yield catalog.get_webhook(store.keys, webhook_id)
    if body is None:
        raise _unknown(webhook_id)
    return read(body)


def list_all(store: StoreContext) -> Plan[list[Webhook]]:
    """Every webhook, by id."""
    bodies: dict[str, bytes] = yield catalog.list_webhooks(store.keys)
    return [read(body) for body in bodies.values()]


def delete(store: StoreContext, webhook_id: str) -> Plan[None]:
    """Forget a webhook and the secrets that were kept for it. Raises ``NotFound``."""
    webhook = yield from get(store, webhook_id)
    yield catalog.delete_webhook(store.keys, webhook_id)
    for text in (webhook.secret_value or "", *webhook.headers.values()):
        found = REFERENCE.fullmatch(text)
        name = found.group(1) if found else ""
        if name == f"{_OWN}{webhook_id}" or name.startswith(f"{_OWN}{webhook_id}-"):
            yield from secrets.delete(store, name)


def read(body: bytes) -> Webhook:
    """A stored webhook."""
    return msgspec.json.decode(body, type=Webhook)


def hear(store: StoreContext) -> Plan[None]:
    """Make sure that what arrives is kept until it is carried out."""
    yield event_queue.hear(store.keys, EVENT)


def _kept(store: StoreContext, name: str, value: str) -> Plan[str]:
    """A reference to a secret; one that is none yet is kept under this name."""
    if REFERENCE.fullmatch(value):
        return value
    yield from secrets.put(store, name, value)
    return f"${{workflow.secrets.{name}}}"


def _key_problems(webhook: Webhook) -> list[Problem]:
    """Said when the webhook is stored, not when its first delivery is refused."""
    if webhook.verifier is not Verifier.SENDGRID:
        return []
    field, key = ("secretKey", webhook.secret_key) if webhook.secret_key else ("secretValue", webhook.secret_value)
    if is_public_key(key or "") or not key or REFERENCE.fullmatch(key):
        return []
    return [Problem(field, "is not the verification key that SENDGRID shows: a public key in base64")]


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"there is no webhook {webhook_id}; list them with: orchestrator webhook list")


# --- what arrives -----------------------------------------------------------------------------------------------------


def receive(
    store: StoreContext, webhook_id: str, headers: Mapping[str, str], body: bytes, now_ms: int
) -> Plan[Receipt]:
    """Take in a delivery; when this returns it is safe. ``headers`` by their names in lower case.

    Raises ``NotFound``, ``Unauthorized`` (kept as a rejected delivery), ``InvalidPayload`` and ``StoreUnavailable``.
    """
    webhook = yield from get(store, webhook_id)
    secret, wanted = yield from _revealed(store, webhook)
    reason = why_rejected(webhook, secret, wanted, headers, body, now_ms)
    if reason is not None:
        yield event_queue.bury(store.keys, log_of(webhook_id), new_request_id(), reason, b"")
        raise Unauthorized(f"webhook {webhook_id}: {reason}")
    event = _parsed(headers.get("content-type", ""), body)
    delivery_id = _delivery_id(webhook, headers, body, event)
    if webhook.verifier is Verifier.SLACK_BASED and isinstance(event, dict) and event.get("type") == "url_verification":
        return Receipt(delivery_id, str(event.get("challenge", "")))
    message = {"webhook": webhook_id, "delivery": delivery_id, "event": event}
    packed = pack(message, "event", store.settings.payload_bytes_max)
    published: Published = yield event_queue.publish(store.keys, EVENT, f"{webhook_id}\n{delivery_id}", packed)
    if published.word == "FULL":
        raise StoreUnavailable("too many deliveries wait to be carried out; deliver it again later")
    return Receipt(delivery_id)


def challenge(store: StoreContext, webhook_id: str, query: Mapping[str, str]) -> Plan[str | dict[str, str]]:
    """The answer to a GET by which a platform verifies an address: its challenge, if it knows the secret.

    TWITTER is shown instead that the secret is known here. Without a challenge it only says that the address is there.
    Raises ``NotFound``, ``Unauthorized``.
    """
    webhook = yield from get(store, webhook_id)
    is_asked_for_proof = webhook.verifier is Verifier.TWITTER and "crc_token" in query
    if not is_asked_for_proof and "hub.challenge" not in query:
        return ""
    secret, _ = yield from _revealed(store, webhook)
    if is_asked_for_proof:
        proof = token_proof(secret, query["crc_token"])
        if proof is None:
            raise Unauthorized(f"webhook {webhook_id}: crc_token is not a token to be signed")
        return {"response_token": proof}
    if not secret or not is_same(query.get("hub.verify_token", ""), secret):
        raise Unauthorized(f"webhook {webhook_id}: the token of this verification is wrong")
    return query["hub.challenge"]


def _revealed(store: StoreContext, webhook: Webhook) -> Plan[tuple[str, dict[str, str]]]:
    """The secret and the headers of a webhook in clear."""
    texts = [webhook.secret_value or "", *webhook.headers.values()]
    names = [found.group(1) if (found := REFERENCE.fullmatch(text)) else "" for text in texts]
    values, locked = yield from secrets.read(store, sorted({name for name in names if name}))
    for name in names:
        if name and name not in values:
            raise InvalidRequest(f"webhook {webhook.id} needs the secret {name}: {locked.get(name) or 'nobody has it'}")
    clear = [values.get(name, "") for name in names]
    return clear[0], dict(zip(webhook.headers, clear[1:], strict=True))


def _parsed(content_type: str, body: bytes) -> Any:
    """A body as a value: JSON, else the fields of a form, else its text."""
    text = body.decode("utf-8", "replace")
    if "form-urlencoded" in content_type:
        fields: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True))
        return _json(fields["payload"].encode(), fields) if set(fields) == {"payload"} else fields
    return _json(body, text)


def _json(body: bytes, otherwise: Any) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return otherwise


def _delivery_id(webhook: Webhook, headers: Mapping[str, str], body: bytes, event: Any) -> str:
    """Under what the sender repeats a delivery; without that each is one of its own."""
    if webhook.verifier in _KNOWN_BY_BODY:
        return hashlib.sha256(body).hexdigest()
    field = _ID_FIELDS.get(webhook.verifier)
    own = event.get(field) if field and isinstance(event, dict) else None
    found = next((headers[name] for name in _ID_HEADERS if headers.get(name)), own if isinstance(own, str) else "")
    return hashlib.sha256(found.encode()).hexdigest() if len(found) > _ID_CHARS_MAX else found or new_request_id()


# --- what became of it ------------------------------------------------------------------------------------------------


def log_of(webhook_id: str) -> str:
    """The name under which the deliveries of a webhook are kept."""
    return f"webhook:{webhook_id}"


def deliveries(store: StoreContext, webhook_id: str, size: int = 100) -> Plan[list[Delivery]]:
    """What became of the latest deliveries, the last first; those that were rejected among them. Raises ``NotFound``."""
    yield from get(store, webhook_id)
    count, log = max(1, min(size, LISTED_MAX)), log_of(webhook_id)
    fields: list[bytes] = yield event_queue.latest_executions(store.keys, log, count)
    found = (yield event_queue.read_executions(store.keys, log, fields)) if fields else []
    letters = yield event_queue.dead_letters(store.keys, log, count)
    listed = [
        Delivery(
            delivery_id=one.message_id,
            webhook_id=webhook_id,
            status=str(one.status),
            created=one.created,
            reason=one.output.get("reason"),
            task_ids=one.output.get("tasks", [])[:100],
            task_count=one.output.get("count", 0),
            workflow_ids=one.output.get("workflows", []),
        )
        for one in found
    ]
    listed += [
        Delivery(
            delivery_id=one.message_id, webhook_id=webhook_id, status="REJECTED", created=one.at_ms, reason=one.reason
        )
        for one in letters
    ]
    return sorted(listed, key=lambda one: one.created, reverse=True)[:count]
