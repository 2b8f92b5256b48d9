"""The commit of a batch of decisions: build its arguments, read its verdicts.

This is the hot path: a section is flat lists that grow, and one concatenation at the end. What the decisions say is
translated by the engine; this room knows only keys, fields and scores. One batch belongs to one partition and one
owner; a workflow has at most one section in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Argument, Call
from orchestrator.store.keys import STATE_FIELDS, Keys
from orchestrator.store.verdicts import VERDICTS, Verdict

_TEXTS = tuple(map(str, range(1_000)))  # packing a number costs three times as much as packing its text


def _text(number: int) -> str:
    return _TEXTS[number] if number < len(_TEXTS) else str(number)


_NOWHERE, _INBOX, _OUTBOX, _TIMERS = "0", "2", "3", "4"  # positions in KEYS that every commit has


class CommitReply(NamedTuple):
    """What became of a batch. ``fenced``: nothing was written, another owner has the partition.

    ``verdicts`` has, per section in order, its verdict and the id of its outbox entry ('' = none); ``next_due_ms`` is
    when the partition's next timer is due, ``now_ms`` the store's time.
    """

    fenced: bool
    now_ms: int
    next_due_ms: int | None
    verdicts: list[tuple[Verdict, str]]


class CommitBatch:
    """Sections of several workflows of one partition, written by one script run.

    ``relayed`` are outbox ids whose hand-offs are delivered for good; ``clears_suspects`` drops the suspect counts of
    the committed events. Example: ``batch.section(wid, version, [event_id]).put_workflow("Rcharge", record)``
    """

    __slots__ = (
        "_clears",
        "_epoch",
        "_names",
        "_owner",
        "_places",
        "_read_to",
        "_relayed",
        "_sections",
        "keys",
        "partition",
    )

    def __init__(
        self,
        keys: Keys,
        partition: int,
        epoch: int,
        owner: str,
        *,
        relayed: Sequence[str] = (),
        clears_suspects: bool = False,
    ) -> None:
        self.keys = keys
        self.partition = partition
        self._epoch = epoch
        self._owner = owner
        self._relayed = relayed
        self._clears = 1 if clears_suspects else 0
        self._read_to = ""
        self._names = [keys.ownership(partition), keys.inbox(partition), keys.outbox(partition), keys.timers(partition)]
        self._places: dict[str, str] = {}
        self._sections: list[Section] = []

    def __len__(self) -> int:
        return len(self._sections)

    def section(self, workflow_id: str, expected_version: int | str, event_ids: Sequence[str]) -> Section:
        """A new section: what one decision changes. The commit raises the version by one and deletes the events."""
        names, keys, partition = self._names, self.keys, self.partition
        place = len(names) + 1
        names.append(keys.workflow(partition, workflow_id))
        names.append(keys.dispatch(partition, workflow_id))
        section = Section(self, workflow_id, place, expected_version, event_ids)
        self._sections.append(section)
        return section

    def discard(self, section: Section) -> None:
        """Leave a section out again that could not be written to its end."""
        self._sections.remove(section)

    def cut_inbox(self, event_id: str) -> None:
        """The sections hold every event up to this one, as this owner has just read them: delete them in one go.

        That costs a fraction of deleting entry by entry. Nothing is cut off when a section is refused.
        """
        self._read_to = event_id

    def place(self, key: str) -> str:
        """The position of ``key`` in KEYS, added when it is new."""
        place = self._places.get(key)
        if place is None:
            self._names.append(key)
            place = self._places[key] = _text(len(self._names))
        return place

    def call(self, *, durable: bool = False) -> Call:
        """The script run; decodes to a ``CommitReply``."""
        relayed = self._relayed
        trim = _behind(self._read_to) if self._read_to else ""
        args: list[Argument] = [self._epoch, self._owner, self._clears, trim]
        args += (len(relayed), *relayed, len(self._sections))
        for section in self._sections:
            args += section.head
            args.append(_text(len(section.fields)))
            args += section.fields
            args.append(_text(section.count))
            args += section.operations
        return Call("commit", self._names, args, _commit_reply, durable)


class Section:
    """What one decision changes of one workflow. Every method appends one operation.

    They are carried out in order, but what is set of the workflow comes behind them, and timers and indexes last: what is
    added there before what is taken away.
    """

    __slots__ = ("_batch", "_dispatch", "_workflow", "count", "fields", "head", "operations", "workflow_id")

    def __init__(
        self, batch: CommitBatch, workflow_id: str, place: int, expected_version: int | str, event_ids: Sequence[str]
    ) -> None:
        self._batch = batch
        self._workflow, self._dispatch = _text(place), _text(place + 1)
        self.workflow_id = workflow_id
        self.head: list[Argument] = [self._workflow, expected_version, _text(len(event_ids)), *event_ids]
        self.fields: list[Argument] = []
        self.operations: list[Argument] = []
        self.count = 0

    def put_workflow(self, *pairs: Argument) -> None:
        """Set state and task records: ``put_workflow("c", core, "S" + ref, scheduled)``; ``v`` is the commit's own."""
        self.fields += pairs

    def lift_quarantine(self) -> None:
        """The workflow is not set aside any more."""
        self._add("D", self._workflow, ("q", "qe", "qt"))

    def drop_records(self, fields: Sequence[str]) -> None:
        """Remove task records, but those that this section sets."""
        self._add("D", self._workflow, fields)

    def drop_all_records(self) -> None:
        """Remove every task record, but those that this section sets."""
        self._add("U", self._workflow, STATE_FIELDS)

    def put_dispatch(self, pairs: Sequence[Argument]) -> None:
        """Open task attempts: ``[suffix, dispatch text, ...]``."""
        self._add("H", self._dispatch, pairs)

    def expect_open(self, suffixes: Sequence[str]) -> None:
        """Refuse the section (CONFLICT) when the final word on one of these attempts is in the inbox already."""
        self._add("X", self._dispatch, suffixes)

    def drop_dispatch(self, suffixes: Sequence[str]) -> None:
        """Close task attempts: nobody can start or report on them any more."""
        self._add("D", self._dispatch, suffixes)

    def arm(self, pairs: Sequence[Argument]) -> None:
        """Arm or move timers: ``[due_ms, member, ...]``, members from ``timers.timer_member``."""
        self._add("Z", _TIMERS, pairs)

    def disarm(self, members: Sequence[str]) -> None:
        """Take timers away."""
        self._add("R", _TIMERS, members)

    def outbox(self, body: bytes) -> None:
        """Leave hand-offs to other slots; at most once per section. The verdict carries the entry's id."""
        self._add("O", _OUTBOX, (body,))

    def again(self) -> None:
        """Leave the workflow a note to go on: one Continue event."""
        self._add("G", _INBOX, (self.workflow_id,))

    def answer(self, request_id: str, body: bytes) -> None:
        """Answer a request, keep the answer ten minutes and wake whoever waits for it."""
        batch = self._batch
        self._add("A", batch.place(batch.keys.answer(batch.partition, request_id)), (body,))

    def publish_done(self, message: str) -> None:
        """Wake whoever waits for this workflow."""
        batch = self._batch
        self._add("P", _NOWHERE, (batch.keys.done_channel(batch.partition, self.workflow_id), message))

    def publish(self, channel: str, message: str) -> None:
        """Send a hint on a channel of this slot."""
        self._add("P", _NOWHERE, (channel, message))

    def index(self, key: str, score: int, member: str = "") -> None:
        """Add the workflow, or another member, to an index (``Keys.by_status`` and the like)."""
        self._add("Z", self._batch.place(key), (score, member or self.workflow_id))

    def unindex(self, key: str, member: str = "") -> None:
        """Take the workflow, or another member, out of an index."""
        self._add("R", self._batch.place(key), (member or self.workflow_id,))

    def _add(self, code: str, place: str, args: Sequence[Argument]) -> None:
        self.operations += (code, place, _text(len(args)), *args)
        self.count += 1


def _behind(event_id: str) -> str:
    """The least id behind an event's."""
    time_ms, sequence = event_id.split("-")
    return f"{time_ms}-{int(sequence) + 1}"


def _commit_reply(reply: Any) -> CommitReply:
    if reply[0] == b"FENCED":
        return CommitReply(True, 0, None, [])
    rest: Iterable[bytes] = iter(reply[3:])
    verdicts = [(VERDICTS[verdict], outbox.decode()) for verdict, outbox in zip(rest, rest, strict=True)]
    return CommitReply(False, reply[1], reply[2] if reply[2] >= 0 else None, verdicts)
