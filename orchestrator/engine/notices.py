"""News for listeners on its way: to the queue or stream it is for, or to the outgoing queue of an address.

Nothing here waits for anybody outside: what is posted or sent to brokers is put into a queue of its own place first, and
whoever runs system tasks takes it from there. A place that can never take it costs the news, never the workflow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from orchestrator.codec import unpack
from orchestrator.errors import StoreUnavailable
from orchestrator.model.effects import Notify
from orchestrator.model.sinks import CONDUCTOR, REDIS_STREAM
from orchestrator.plan import Call, Command, Plan
from orchestrator.store import event_queue, installation
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import Published
from orchestrator.store.failures import is_passing

log = logging.getLogger(__name__)

OUTGOING_MAX = 10_000
"""How much news waits for one address; more is dropped while it does not answer."""


class Notices:
    """Delivers news. Keeps nothing but which places are known."""

    def __init__(self, store: StoreContext) -> None:
        self._store = store
        self._known: set[str] = set()

    def deliver(self, news: Sequence[Notify]) -> Plan[list[bool]]:
        """Pass news on, in one pipeline; gives for each whether that is settled. A lost connection raises."""
        yield from self._note_places({one.place for one in news if is_outgoing(one.place)})
        sent = [one for one in news if not self._is_ours(one)]
        replies = yield [self._step(one) for one in sent]
        settled = {id(one): _is_settled(one, reply) for one, reply in zip(sent, replies, strict=True)}
        return [settled.get(id(one), True) for one in news]

    def _step(self, news: Notify) -> Call | Command:
        kind = news.place.partition(":")[0]
        if kind == REDIS_STREAM:
            body = msgspec.json.encode(unpack(news.news)).decode()
            return event_queue.append_foreign(news.place, news.news_id, body)
        limit = event_queue.LENGTH_MAX if kind == CONDUCTOR else OUTGOING_MAX
        return event_queue.publish(self._store.keys, news.place, news.news_id, news.news, limit)

    def _is_ours(self, news: Notify) -> bool:
        """Whether a stream is a key of the installation, which nobody may write by name: that news goes nowhere."""
        kind, _, name = news.place.partition(":")
        if kind != REDIS_STREAM or not self._store.keys.is_ours(name):
            return False
        log.error("news_dropped", extra={"place": news.place, "reason": "the stream belongs to the installation"})
        return True

    def _note_places(self, places: set[str]) -> Plan[None]:
        new = sorted(places - self._known)
        if new:
            yield installation.add_places(self._store.keys, new)
            self._known.update(new)


def is_outgoing(place: str) -> bool:
    """Whether news for this place leaves the Redis. Example: ``is_outgoing("https://example.com/hook")``"""
    return place.partition(":")[0] not in (CONDUCTOR, REDIS_STREAM)


def _is_settled(news: Notify, reply: object) -> bool:
    if isinstance(reply, StoreUnavailable) or (isinstance(reply, Exception) and is_passing(reply)):
        return False
    if isinstance(reply, Exception) or (isinstance(reply, Published) and reply.word == "FULL"):
        reason = str(reply) if isinstance(reply, Exception) else "too much news waits there already"
        log.error("news_dropped", extra={"place": news.place, "news_id": news.news_id, "reason": reason})
    return True
