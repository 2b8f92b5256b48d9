"""What is sent again when a server has forgotten its scripts, and in which order."""

from __future__ import annotations

import pytest
import redis

from orchestrator.plan import Call
from orchestrator.store.exchange import Profile, exchange

FIRST = Call("due_timers", ("orc:{orc.p0}:tm",), (1,), lambda reply: reply)
SECOND = Call("heartbeat", ("orc:{orc.q:a}:meta",), (2,), lambda reply: reply)


def scripts_sent(requests: list[object]) -> list[object]:
    return [request.words[-1] for request in requests]  # type: ignore[attr-defined]  # only the words matter here


def test_only_the_unknown_script_is_sent_again() -> None:
    rounds = exchange(Profile(), [FIRST, SECOND])
    assert scripts_sent([*next(rounds)]) == [1, 2]
    assert scripts_sent([*rounds.send([redis.exceptions.NoScriptError("NOSCRIPT"), b"done"])]) == [1]


def test_a_call_that_relies_on_the_order_is_repeated_behind_the_one_that_was_unknown() -> None:
    """Found by kills: after a restart of Redis the enqueue ran before its commit, a worker dropped the unknown task, and
    the outbox entry was deleted."""
    rounds = exchange(Profile(), [FIRST, SECOND._replace(ordered=True)])
    assert scripts_sent([*next(rounds)]) == [1, 2]
    assert scripts_sent([*rounds.send([redis.exceptions.NoScriptError("NOSCRIPT"), b"done"])]) == [1, 2]
    with pytest.raises(StopIteration) as done:
        rounds.send([b"late", b"again"])
    assert done.value.value == [b"late", b"again"]


def test_an_ordered_call_before_the_unknown_one_is_left_alone() -> None:
    rounds = exchange(Profile(), [FIRST._replace(ordered=True), SECOND])
    next(rounds)
    assert scripts_sent([*rounds.send([b"done", redis.exceptions.NoScriptError("NOSCRIPT")])]) == [2]
