"""Notes of polls: the last of each queue, and not more than a bounded number."""

from __future__ import annotations

import pytest

from orchestrator.plan import Command
from orchestrator.store import polls
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.polls import PollNote


def test_the_last_poll_of_a_queue_replaces_the_one_before(timed_store: SyncExecutor, keys: Keys) -> None:
    timed_store.do(Command(("SET", keys.catalog_clock(), 1_000_000)))
    notes = [PollNote("pay", None, "a b", 400), PollNote("pay", "eu", "c", 0)]
    assert timed_store.do(polls.note_polls(keys, notes)) == 2
    assert timed_store.do(polls.note_polls(keys, [PollNote("pay", "eu", "d", 100)])) == 2
    found = timed_store.do(polls.list_polls(keys))
    assert [(one.queue_name, one.domain, one.worker_id, one.last_poll_time) for one in found] == [
        ("pay", None, "a b", 999_600),
        ("pay", "eu", "d", 999_900),
    ]


def test_notes_of_polls_are_bounded_and_those_of_yesterday_make_room(
    timed_store: SyncExecutor, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "POLL_NOTES_MAX", 3)
    timed_store.do(Command(("SET", keys.catalog_clock(), 200_000_000)))
    old = [PollNote("old", None, "w", 86_400_001), PollNote("older", None, "w", 90_000_000)]
    assert timed_store.do(polls.note_polls(keys, [*old, PollNote("new", None, "w", 5)])) == 3
    fresh = [PollNote(name, None, "w", 0) for name in ("b", "c", "new", "d")]
    assert timed_store.do(polls.note_polls(keys, fresh)) == 3
    assert [one.queue_name for one in timed_store.do(polls.list_polls(keys))] == ["b", "c", "new"]
