"""The desk that carries out what has arrived at webhooks. Run by the system-task role beside that of the handlers."""

from __future__ import annotations

from orchestrator.clock import SystemClock
from orchestrator.events.host import IN_HAND_MAX, CarriesOut
from orchestrator.events.processor import DELIVERIES_MAX, Verdict
from orchestrator.plan import Plan
from orchestrator.service import webhook_deliveries, webhooks
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import Message


class WebhookDesk:
    """Hands deliveries on. Example: ``WebhookDesk(store, executor.run)``"""

    in_hand_max = IN_HAND_MAX

    def __init__(self, store: StoreContext, run: CarriesOut) -> None:
        self._store = store
        self._run = run
        self._clock = SystemClock()
        self._is_heard = False

    @property
    def events(self) -> list[str]:
        """The one queue that deliveries wait in."""
        return [webhooks.EVENT]

    def refresh(self) -> Plan[None]:
        """Make sure that the queue is there, once."""
        if not self._is_heard:
            yield from webhooks.hear(self._store)
            self._is_heard = True

    def forget(self) -> None:
        """Make sure anew."""
        self._is_heard = False

    async def handle(self, message: Message) -> Verdict:
        """Everything that follows from a delivery."""
        if message.deliveries > DELIVERIES_MAX:
            return Verdict(True, f"the processes that had it ended {message.deliveries - 1} times before it was done")
        reason = await self._run(webhook_deliveries.deliver(self._store, message.payload, self._clock.now_ms()))
        return Verdict(True, reason)
