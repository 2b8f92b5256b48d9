"""What happens to one message: which handlers it is for, whether their condition holds, what each action came to.

A message is delivered at least once; each action is done once. Before an action its execution is recorded; one that is
recorded as ended is not done again, one that is recorded as begun is done again under the same ids, which the partitions
recognise. Nothing here waits or retries by the clock: a passing failure leaves the message where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from orchestrator.clock import Clock
from orchestrator.codec import check, unpack
from orchestrator.errors import InvalidPayload, OrchestratorError, Unavailable
from orchestrator.events import actions
from orchestrator.events.payloads import expanded, parsed
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.event_handlers import EventAction, EventExecution, EventHandler, ExecutionStatus
from orchestrator.plan import Plan
from orchestrator.service import events
from orchestrator.store import catalog, event_queue
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import PAYLOAD, Message

log = logging.getLogger("orchestrator.events")

TRIES_MAX = 3
"""How often an action is tried in place before its message is left for another delivery (Conductor's number)."""

DELIVERIES_MAX = 10
"""After so many deliveries a message that still cannot be handled becomes a dead letter."""

OUTPUT_CHARS_MAX = 2_000


class Conditions(Protocol):
    """What evaluates a condition, however long that takes."""

    def __call__(self, language: str, script: str, document: Any, /, *, now_ms: int, seed: str) -> Evaluation: ...


Judged = Mapping[str, Evaluation]
"""What the conditions of a message's handlers came to, by the handler's name."""


class Verdict(NamedTuple):
    """What became of a message. ``is_over``: it need not be delivered again; with a ``reason`` it is a dead letter."""

    is_over: bool
    reason: str = ""


class Processor:
    """Handles messages by the handlers that are active now.

    A message is first judged (``judge``, which may take seconds) and then handled.
    Example: ``executor.run(processor.handle(message, processor.judge(message)))``
    """

    def __init__(self, store: StoreContext, conditions: Conditions, clock: Clock) -> None:
        self._store = store
        self._conditions = conditions
        self._clock = clock
        self._revision = -1
        self._heard: set[str] = set()
        self.handlers: Mapping[str, Sequence[EventHandler]] = {}

    @property
    def events(self) -> list[str]:
        """The events that have an active handler, sorted."""
        return sorted(self.handlers)

    def refresh(self) -> Plan[bool]:
        """Look for changed handlers and make sure that new events are heard; gives whether anything changed."""
        revision: int = yield catalog.event_handlers_revision(self._store.keys)
        if revision == self._revision:
            return False
        bodies: dict[str, bytes] = yield catalog.list_event_handlers(self._store.keys)
        found: dict[str, list[EventHandler]] = {}
        for name, body in bodies.items():
            try:
                handler = events.read_handler(body)
            except (OrchestratorError, ValueError) as error:
                log.error("event_handler_unreadable", extra={"handler": name, "reason": str(error)})
                continue
            if handler.active:
                found.setdefault(handler.event, []).append(handler)
        yield from self._hear(found)
        self.handlers, self._revision = found, revision
        return True

    def _hear(self, found: Mapping[str, Any]) -> Plan[None]:
        for event in sorted(found):
            try:
                yield from events.hear(self._store, [event])
            except Unavailable as error:
                # A stream of another program under that name, or one that we may not read: the others go on.
                log.error("event_not_heard", extra={"event": event, "reason": str(error)})

    def forget(self) -> None:
        """Look at all handlers anew with the next ``refresh``: a group has vanished."""
        self._revision = -1

    # --- one message --------------------------------------------------------------------------------------------------

    def judge(self, message: Message) -> Judged:
        """Evaluate the conditions of a message's handlers. Blocks while user scripts run; safe to call in a thread."""
        handlers = [one for one in self.handlers.get(message.event, ()) if one.condition]
        if not handlers or message.deliveries > DELIVERIES_MAX:
            return {}
        try:
            document = expanded(payload_of(message))
        except InvalidPayload:
            return {}
        return {one.name: self._evaluate(one, document, message.message_id) for one in handlers}

    def _evaluate(self, handler: EventHandler, document: Any, message_id: str) -> Evaluation:
        try:
            return self._conditions(
                handler.language, handler.condition or "", document, now_ms=self._clock.now_ms(), seed=message_id
            )
        except Exception as error:  # whatever an engine does with a script, the other handlers are served
            log.exception("event_condition_failed", extra={"handler": handler.name})
            return Evaluation(error=f"{type(error).__name__}: {error}")

    def handle(self, message: Message, judged: Judged) -> Plan[Verdict]:
        """Everything that is to be done for a message. Raises ``Unavailable`` when the store is away."""
        if message.deliveries > DELIVERIES_MAX:
            return Verdict(
                True, f"the processes that handled it ended {message.deliveries - 1} times before it was done"
            )
        try:
            payload = payload_of(message)
        except InvalidPayload as error:
            return Verdict(True, f"the message cannot be read: {error}")
        failed, postponed = [], []
        handlers = self.handlers.get(message.event, ())
        if not handlers:  # switched off a moment ago: the message waits for the next
            return Verdict(False)
        for handler in handlers:
            if handler.condition:
                answer = judged.get(handler.name)
                if answer is None:  # it came while the message was judged
                    return Verdict(False)
                if not (yield from self._holds(handler, message, payload, answer)):
                    failed += [f"handler {handler.name}: {answer.error}"] if answer.error is not None else []
                    continue
            postponed += yield from self._handle(handler, message, payload)
        if not postponed:
            return Verdict(True, "; ".join(failed))
        return Verdict(_is_last(message), "; ".join([*failed, *postponed]))

    def _handle(self, handler: EventHandler, message: Message, payload: Any) -> Plan[list[str]]:
        """One handler's actions; gives why those that have not ended could not be done."""
        postponed = []
        for index, action in enumerate(handler.actions):
            reason = yield from self._act(handler, action, index, message, payload)
            if reason is not None:
                postponed.append(f"handler {handler.name}, action {index}: {reason}")
        return postponed

    def _holds(self, handler: EventHandler, message: Message, payload: Any, answer: Evaluation) -> Plan[bool]:
        """Whether the condition is true; if not, that is recorded under the first action's number, as Conductor does."""
        if answer.error is None and is_true(answer.value):
            return True
        status, output = ExecutionStatus.SKIPPED, {"msg": expanded(payload), "condition": handler.condition}
        if answer.error is not None:
            status, output = ExecutionStatus.FAILED, {**output, "exception": answer.error[:OUTPUT_CHARS_MAX]}
        execution = self._execution(handler, None, 0, message)
        yield self._begin(replace(execution, status=status, output=output))
        return False

    def _act(
        self, handler: EventHandler, action: EventAction, index: int, message: Message, payload: Any
    ) -> Plan[str | None]:
        """One action; gives why it has to be tried again, None when it has ended, now or at an earlier delivery."""
        document = expanded(payload) if action.expand_inline_json else payload
        execution = self._execution(handler, action, index, message)
        extra = {"event": message.event, "message_id": message.message_id, "handler": handler.name, "action": index}
        try:
            execution = replace(execution, target=(yield from actions.choose(self._store, action, document)))
            recorded: EventExecution | None = yield self._begin(execution)
            if recorded is not None:
                if recorded.status is not ExecutionStatus.IN_PROGRESS:
                    return None
                execution = recorded
            output = yield from self._try(action, execution, document)
        except Unavailable as error:
            log.warning("event_action_postponed", extra={**extra, "reason": str(error)})
            if _is_last(message):
                yield from self._end(execution, error)
            return str(error)
        except Exception as error:
            if not isinstance(error, OrchestratorError | ValueError):
                log.exception("event_action_failed", extra=extra)
            yield from self._end(execution, error)
            return None
        yield event_queue.end_execution(
            self._store.keys, replace(execution, status=ExecutionStatus.COMPLETED, output=output)
        )
        return None

    def _end(self, execution: EventExecution, error: Exception) -> Plan[None]:
        """Record that an action failed for good, also when it had not been recorded as begun."""
        output = {"exception": f"{type(error).__name__}: {error}"[:OUTPUT_CHARS_MAX]}
        failed = replace(execution, status=ExecutionStatus.FAILED, output=output)
        yield self._begin(failed)
        yield event_queue.end_execution(self._store.keys, failed)

    def _try(self, action: EventAction, execution: EventExecution, payload: Any) -> Plan[dict[str, Any]]:
        for left in reversed(range(TRIES_MAX)):
            try:
                return (yield from actions.perform(self._store, action, execution, payload))
            except Unavailable:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _begin(self, execution: EventExecution) -> Any:
        return event_queue.begin_execution(self._store.keys, execution)

    def _execution(
        self, handler: EventHandler, action: EventAction | None, index: int, message: Message
    ) -> EventExecution:
        return EventExecution(
            id=f"{message.message_id}_{index}",
            message_id=message.message_id,
            name=handler.name,
            event=message.event,
            created=self._clock.now_ms(),
            action=str(action.action) if action is not None else None,
        )


def _is_last(message: Message) -> bool:
    return message.deliveries >= DELIVERIES_MAX


def payload_of(message: Message) -> Any:
    """The payload as a value: JSON where it is that, else text; of a foreign entry without one, its fields.

    Raises ``InvalidPayload``.
    """
    if isinstance(message.payload, bytes):
        value = unpack(message.payload)
        return parsed(value) if isinstance(value, str) else value
    fields = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in message.payload.items()
    }
    value = parsed(fields[PAYLOAD]) if PAYLOAD in fields else fields
    check(value, "payload")
    return value


def is_true(value: Any) -> bool:
    """Conductor's truth: a boolean as it is, a number if it is above zero, nothing else."""
    if isinstance(value, bool):
        return value
    return isinstance(value, int | float) and value > 0
