"""The messages of a workflow: pushed from outside, kept in order, each handed to one PULL_WORKFLOW_MESSAGES task.

The core record knows the numbers of those that wait and which tasks want one; the messages themselves are records of
their own, written once and read when they are handed out. Handing out and taking away are one decision, so a message is
given to exactly one task. A waiting task is woken by its timer, which is armed for now: a timer event carries how the
task stands, so a task that was ended from elsewhere at the same moment takes no message with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import unpack
from orchestrator.core.draft import Draft
from orchestrator.core.state import MessagesNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import FORMAT, Message, MessageQueue, decode_message, encode

MESSAGES_MAX = 1_000
BYTES_MAX = 8 * 1024 * 1024
MESSAGE_BYTES_MAX = 256 * 1024
BATCH_MAX = 100
ID_CHARS_MAX = 200

_WRAPPING_BYTES = 400  # what a message's id, workflow and time take in an output, at most about


def queue(d: Draft) -> MessageQueue:
    """Which messages wait, and who waits for one."""
    return d.core.messages or MessageQueue()


def push(d: Draft, message_id: str, payload: dict[str, Any]) -> str | None:
    """Add a message; the reason when there is no room for it. Raises ``InvalidPayload`` for one that is too large."""
    waiting = queue(d)
    packed = d.pack_payload(payload, "payload")
    limit = min(MESSAGE_BYTES_MAX, d.facts.payload_bytes_max // 2)
    if len(packed) > limit:
        raise InvalidPayload("payload", f"a message of {len(packed):,} bytes is larger than {limit:,} bytes")
    if waiting.next - waiting.first >= MESSAGES_MAX or waiting.bytes + len(packed) > BYTES_MAX:
        return (
            f"{waiting.next - waiting.first:,} messages of {waiting.bytes:,} bytes wait in workflow {d.workflow_id}, and "
            f"at most {MESSAGES_MAX:,} of {BYTES_MAX:,} may; push again when some were pulled"
        )
    d.pushed[waiting.next] = encode(Message(FORMAT, message_id, d.now, Raw(packed)))
    d.core.messages = replace(waiting, next=waiting.next + 1, bytes=waiting.bytes + len(packed))
    _wake(d)
    return None


def take(d: Draft, count: int) -> list[dict[str, Any]]:
    """Up to ``count`` messages, the oldest first, fewer when they would make a task's output too large."""
    waiting = queue(d)
    numbers = range(waiting.first, min(waiting.next, waiting.first + count))
    lacking = [number for number in numbers if number not in d.pushed and number not in d.state.messages]
    if lacking:
        raise MessagesNeeded(lacking)
    taken: list[dict[str, Any]] = []
    size = 0
    room = d.facts.payload_bytes_max - _WRAPPING_BYTES
    for number in numbers:
        message: Message = decode_message(d.pushed.get(number) or d.state.messages[number])
        length = memoryview(message.payload).nbytes
        room -= length + _WRAPPING_BYTES
        if taken and room < 0:
            break
        size += length
        taken.append(_shown(d, message))
        if d.pushed.pop(number, None) is None:
            d.pulled.append(number)
    d.core.messages = replace(waiting, first=waiting.first + len(taken), bytes=waiting.bytes - size)
    return taken


def start_waiting(d: Draft, record: TaskRecord) -> None:
    """This task takes the next message that comes."""
    waiting = queue(d)
    d.core.messages = replace(waiting, pulls=[*waiting.pulls, record.scheduled.ref])


def stop_waiting(d: Draft, ref: str) -> None:
    """The task has ended, whoever ended it: what waits is for the next one that wants it."""
    waiting = d.core.messages
    if waiting is not None and ref in waiting.pulls:
        d.core.messages = replace(waiting, pulls=[one for one in waiting.pulls if one != ref])
        _wake(d)


def forget_waiting(d: Draft) -> None:
    """The workflow has ended: nobody waits any more."""
    if d.core.messages is not None:
        d.core.messages = replace(d.core.messages, pulls=[])


def _wake(d: Draft) -> None:
    waiting = queue(d)
    if waiting.pulls and waiting.first < waiting.next:
        record = d.record(waiting.pulls[0])
        assert record is not None, f"{waiting.pulls[0]} waits for a message without a record"
        d.timers[record.suffix, record.scheduled.ref] = d.now


def _shown(d: Draft, message: Message) -> dict[str, Any]:
    received = datetime.fromtimestamp(message.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "id": message.id,
        "workflowId": d.workflow_id,
        "payload": unpack(bytes(message.payload)),
        "receivedAt": received.replace("+00:00", "Z"),
    }
