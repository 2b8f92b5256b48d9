"""Topics of Kafka as a source of events: read under one consumer group, each message handled like any other event's.

Offsets are committed when the messages before them are over with, so a process that is killed has its messages read again by
another; their ids are those of the messages or follow from where they stand, and each still has one effect. What fails only
for now is tried again here, then kept as a dead letter. Loads ``aiokafka`` when there is a topic to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from orchestrator.codec import pack
from orchestrator.errors import InvalidPayload, OrchestratorError
from orchestrator.events.host import HandlerDesk
from orchestrator.events.payloads import parsed
from orchestrator.events.processor import DELIVERIES_MAX, Verdict
from orchestrator.model.sinks import KAFKA
from orchestrator.plan import Plan
from orchestrator.store import event_queue
from orchestrator.store.event_queue import Message
from orchestrator.systemtasks.context import Resources

log = logging.getLogger("orchestrator.events")

LOOK_S = 0.5
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
RECORDS_MAX = 50
MESSAGE_ID = "message-id"


class KafkaEvents:
    """Reads the topics that a desk's handlers name. Example: ``await KafkaEvents(shared, desk).run()``"""

    def __init__(self, shared: Resources, desk: HandlerDesk) -> None:
        self._shared = shared
        self._desk = desk
        self._consumer: Any = None
        self._topics: list[str] = []

    async def run(self) -> None:
        """Handle messages until cancelled; brokers that are away are waited for."""
        pause_s = PAUSE_S_MIN
        try:
            while True:
                try:
                    await self._turn()
                    pause_s = PAUSE_S_MIN
                except Exception as error:
                    log.warning("kafka_events_paused", extra={"reason": str(error), "pause_s": pause_s})
                    await self._close()
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_S_MAX)
        finally:
            await self._close()

    async def _turn(self) -> None:
        topics = self._desk.topics if self._shared.settings.kafka_servers and find_spec("aiokafka") else []
        if not topics:
            await self._close()
            await asyncio.sleep(LOOK_S)
            return
        if self._consumer is None:
            await self._open()
        if topics != self._topics:
            self._consumer.subscribe(topics)
            self._topics = topics
        found = await self._consumer.getmany(timeout_ms=int(LOOK_S * 1000), max_records=RECORDS_MAX)
        records = [record for part in found.values() for record in part]
        if records:
            await asyncio.gather(*(self._work(record) for record in records))
            await self._consumer.commit()

    async def _open(self) -> None:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._shared.settings.kafka_servers,
            group_id=event_queue.group_of(self._shared.store.keys),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            metadata_max_age_ms=5_000,  # a topic that is made later is found that soon
        )
        try:
            await consumer.start()
        except BaseException:
            with contextlib.suppress(Exception):
                await consumer.stop()
            raise
        self._consumer = consumer

    async def _close(self) -> None:
        consumer, self._consumer, self._topics = self._consumer, None, []
        if consumer is not None:
            with contextlib.suppress(Exception):
                await consumer.stop()

    async def _work(self, record: Any) -> None:
        """One message, until it is over with."""
        message, fault = _message(record)
        pause_s = PAUSE_S_MIN
        for delivery in range(1, DELIVERIES_MAX + 1):
            try:
                verdict = (
                    Verdict(True, fault) if fault else await self._desk.handle(message._replace(deliveries=delivery))
                )
                if verdict.is_over:
                    await self._shared.run(self._settle(message, verdict))
                    return
            except OrchestratorError as error:
                log.warning("event_postponed", extra={"event": message.event, "reason": str(error)})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        # The store itself is away, or nobody handles the topic any more: the offset stays where it is.
        raise TimeoutError(f"message {message.message_id} of {message.event} could not be handled for now")

    def _settle(self, message: Message, verdict: Verdict) -> Plan[None]:
        if verdict.reason:
            extra = {"event": message.event, "message_id": message.message_id, "reason": verdict.reason}
            log.error("event_dead_letter", extra=extra)
            assert isinstance(message.payload, bytes)
            yield event_queue.bury(
                self._shared.store.keys, message.event, message.message_id, verdict.reason, message.payload
            )


def _message(record: Any) -> tuple[Message, str]:
    """A record as a message, and why its value cannot be handled ('' = it can)."""
    place = f"{record.partition}-{record.offset}"
    message_id = f"{record.topic}-{place}"
    headers: Sequence[tuple[str, bytes]] = record.headers or ()
    for name, value in headers:
        if name == MESSAGE_ID and value:
            message_id = value.decode("utf-8", "replace")
    value, fault = parsed(record.value or b"null"), ""
    try:
        payload = pack(value, "payload")
    except InvalidPayload as error:
        payload, fault = (
            pack(str(value)[:10_000].encode("utf-8", "replace").decode()),
            f"the message cannot be read: {error}",
        )
    return Message(f"{KAFKA}:{record.topic}", place, message_id, payload), fault
