"""News for listeners outside, taken from the outgoing queue of each address: posted to web addresses, sent to brokers.

At least once, each time under the same id. An address that fails is tried a few times at once and then again with later
deliveries; after ten of them, or when the guard refuses it, the news is kept as a dead letter. Every address has its own
queue and few calls at a time, so one that hangs delays only its own news. What is posted is signed, so that a receiver
can tell us from anybody else: the header is the HMAC-SHA256 of the body under the setting ``webhook_secret``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from importlib.util import find_spec

import msgspec

from orchestrator.codec import unpack
from orchestrator.engine.extras import PACKAGES
from orchestrator.errors import InvalidPayload
from orchestrator.events.processor import DELIVERIES_MAX, Verdict
from orchestrator.model.sinks import KAFKA
from orchestrator.plan import Plan
from orchestrator.store import event_queue, installation
from orchestrator.store.event_queue import Message
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.kafka_events import KafkaAway, KafkaUnset, send

CONNECT_S, READ_S, TOTAL_S = 3.0, 10.0, 15.0
CALLS_PER_HOST = 64
PAUSES_S = (1.0, 5.0)
"""How long is waited before the second and the third try of one delivery."""

SIGNATURE, NEWS_ID, EVENT = "x-orchestrator-signature", "x-orchestrator-id", "x-orchestrator-event"


class NewsDesk:
    """Delivers the news of listeners. Example: ``EventsHost(connection, NewsDesk(shared))``"""

    in_hand_max = 8

    def __init__(self, shared: Resources, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._shared = shared
        self._pauses_s = pauses_s
        self._heard: set[str] = set()
        self._kinds = {
            kind
            for kind, task_type in (("http", "HTTP"), ("https", "HTTP"), (KAFKA, "KAFKA_PUBLISH"))
            if find_spec(PACKAGES[task_type][0]) is not None
        }

    @property
    def events(self) -> list[str]:
        """The addresses that this process has the packages for."""
        return sorted(self._heard)

    def refresh(self) -> Plan[None]:
        """Look for new addresses."""
        keys = self._shared.store.keys
        places: list[str] = yield installation.list_places(keys)
        new = [one for one in places if one not in self._heard and one.partition(":")[0] in self._kinds]
        if new:
            replies = yield [event_queue.hear(keys, one) for one in new]
            self._heard |= {one for one, reply in zip(new, replies, strict=True) if not isinstance(reply, Exception)}

    def forget(self) -> None:
        """Look at all addresses anew."""
        self._heard.clear()

    async def handle(self, message: Message) -> Verdict:
        """Deliver one piece of news, with a few tries."""
        reason, is_final = await self._try(message)
        for pause_s in self._pauses_s:
            if reason is None or is_final:
                break
            await asyncio.sleep(pause_s)
            reason, is_final = await self._try(message)
        if reason is None:
            return Verdict(True)
        return Verdict(is_final or message.deliveries >= DELIVERIES_MAX, reason)

    async def _try(self, message: Message) -> tuple[str | None, bool]:
        """Why it could not be delivered, and whether another try would end the same; (None, ...) = it was."""
        assert isinstance(message.payload, bytes)
        try:
            news = unpack(message.payload)
        except InvalidPayload as error:
            return f"the news cannot be read: {error}", True
        if message.event.startswith(f"{KAFKA}:"):
            try:
                await send(self._shared, message.event, message.message_id, news)
            except (KafkaAway, KafkaUnset) as error:
                return str(error), False
            return None, True
        return await self._post(message, msgspec.json.encode(news), str(news.get("event", "")))

    async def _post(self, message: Message, body: bytes, event: str) -> tuple[str | None, bool]:
        from orchestrator.systemtasks.http_client import CallFailed, HostBusy, HttpClient, Request

        headers = [("content-type", "application/json"), (NEWS_ID, message.message_id), (EVENT, event)]
        secret = self._shared.settings.webhook_secret
        if secret:
            headers.append((SIGNATURE, signature(secret, body)))
        # A client of its own: listeners that hang must not take the connections of HTTP tasks.
        settings = self._shared.settings
        client = self._shared.keep("hooks", lambda: HttpClient(settings, CALLS_PER_HOST), HttpClient.close)
        try:
            answer = await client.call(Request("POST", message.event, headers, body, CONNECT_S, READ_S, TOTAL_S))
        except CallFailed as error:
            return str(error), error.is_final
        except HostBusy:
            return "too many calls of its host are under way", False
        return (None, True) if 200 <= answer.status < 300 else (f"answered {answer.status} {answer.phrase}", False)


def signature(secret: str, body: bytes) -> str:
    """The header that proves who sent ``body``. Example: ``hmac.compare_digest(signature(secret, body), received)``"""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
