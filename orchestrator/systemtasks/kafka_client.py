"""The Kafka producers of one process: one for each list of brokers, so that a message costs no new connection.

Few are kept; the one that was idle longest makes room. A call is bounded by its own time-outs, also when a broker takes
the connection and never speaks. Loads ``aiokafka`` when it is made. Called by the system tasks that send messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from orchestrator.settings import Settings

PRODUCERS_MAX = 16
GIVE_UP_MS = 5_000
"""How long a producer itself goes on with a message whose sender has stopped waiting."""


class Message(NamedTuple):
    """One message; ``connect_s`` bounds finding the brokers, ``send_s`` their acknowledgement."""

    servers: str
    topic: str
    value: bytes
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    connect_s: float
    send_s: float


class SendFailed(Exception):
    """The brokers have not acknowledged the message; it may have arrived all the same."""


class ServersRefused(Exception):
    """These brokers are none that this process may talk to."""


class _Slot:
    """A producer, and how many sends it is busy with."""

    def __init__(self) -> None:
        self.producer: Any = None
        self.users = 0
        self.starting = asyncio.Lock()


class KafkaProducers:
    """The producers of one process and event loop. Example: ``await KafkaProducers(settings).send(message)``"""

    def __init__(self, settings: Settings) -> None:
        self._allowed = {one.strip() for one in settings.kafka_servers.split(",") if one.strip()}
        self._slots: dict[str, _Slot] = {}

    async def send(self, message: Message) -> None:
        """Send a message and wait until the brokers have it. Raises ``SendFailed`` and ``ServersRefused``."""
        servers = [one.strip() for one in message.servers.split(",") if one.strip()]
        if self._allowed and not self._allowed.issuperset(servers):
            raise ServersRefused(
                f"{message.servers} is not among the brokers of the setting kafka_servers (ORCHESTRATOR_KAFKA_SERVERS)"
            )
        slot = self._take(",".join(servers))
        try:
            producer = await self._started(slot, servers, message.connect_s)
            async with asyncio.timeout(message.connect_s + message.send_s):
                await producer.send_and_wait(message.topic, message.value, key=message.key, headers=[*message.headers])
        except TimeoutError:
            raise SendFailed(
                f"no acknowledgement for topic {message.topic} within {message.connect_s + message.send_s:g} s"
            ) from None
        except (KafkaError, OSError, ValueError, AssertionError) as error:
            raise SendFailed(f"{type(error).__name__}: {error}") from error
        finally:
            slot.users -= 1
            await self._make_room()

    async def close(self) -> None:
        """Let go of every broker; what is under way is given a moment."""
        slots, self._slots = self._slots, {}
        for slot in slots.values():
            await _stop(slot.producer)

    def _take(self, name: str) -> _Slot:
        slot = self._slots.pop(name, None) or _Slot()
        self._slots[name] = slot  # the last one is the one used last
        slot.users += 1
        return slot

    async def _started(self, slot: _Slot, servers: list[str], timeout_s: float) -> Any:
        async with asyncio.timeout(timeout_s), slot.starting:
            if slot.producer is None:
                producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", request_timeout_ms=GIVE_UP_MS)
                try:
                    await producer.start()
                except BaseException:
                    await asyncio.shield(_stop(producer))
                    raise
                slot.producer = producer
        return slot.producer

    async def _make_room(self) -> None:
        for name in [name for name, slot in self._slots.items() if not slot.users and slot.producer is None]:
            del self._slots[name]
        while len(self._slots) > PRODUCERS_MAX:
            idle = next((name for name, slot in self._slots.items() if not slot.users), None)
            if idle is None:
                return
            await _stop(self._slots.pop(idle).producer)


async def _stop(producer: Any) -> None:
    if producer is not None:
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(1.0):
                await producer.stop()
