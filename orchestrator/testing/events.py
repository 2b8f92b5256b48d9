"""The event handlers of a test environment: messages are handled when the test lets tasks run, in the test's own thread.

The real processor does it, on messages that are read without waiting; what fails only for now is tried again the next
time, up to the number of deliveries that makes it a dead letter.
"""

from __future__ import annotations

from orchestrator.clock import Clock
from orchestrator.events.processor import Conditions, Processor, Verdict
from orchestrator.events.sources import read_idle, read_new, settle
from orchestrator.plan import Plan
from orchestrator.service import webhook_deliveries, webhooks
from orchestrator.store.context import StoreContext

NAME = "test-events"


class InlineEvents:
    """Handles what there is, when told."""

    def __init__(self, store: StoreContext, conditions: Conditions, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._processor = Processor(store, conditions, clock)

    def run_once(self) -> Plan[int]:
        """Handle every message that waits; gives how many are over with."""
        done = yield from self._webhooks()
        yield from self._processor.refresh()
        events = self._processor.events
        if not events:
            return done
        messages = yield from read_idle(self._store, events, NAME, idle_ms=0)
        found = yield from read_new(self._store, events, NAME)
        for message in [*messages, *found.messages]:
            verdict = yield from self._processor.handle(message, self._processor.judge(message))
            yield from settle(self._store, message, verdict)
            done += verdict.is_over
        return done

    def _webhooks(self) -> Plan[int]:
        """What has arrived at webhooks."""
        yield from webhooks.hear(self._store)
        found = yield from read_new(self._store, [webhooks.EVENT], NAME)
        for message in found.messages:
            reason = yield from webhook_deliveries.deliver(self._store, message.payload, self._clock.now_ms())
            yield from settle(self._store, message, Verdict(True, reason))
        return len(found.messages)
