"""What to send for a plan's step and what its replies mean: everything the two executors share, without I/O.

A script is sent as EVALSHA; where the server does not know it (a restart, a failover, a new node) just that one is sent
again as EVAL, which is safe because NOSCRIPT means that it did not run. Durable calls are followed by the profile's
barrier on the same connection. Error replies become the product's own errors in their places (``failures``).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from orchestrator.errors import OrchestratorError, OutcomeUnknown
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.failures import translate
from orchestrator.store.keys import clock_of
from orchestrator.store.scripts import Script, library
from orchestrator.store.wire import Request

_KEY_THIRD = {"OBJECT", "XGROUP", "XINFO", "MEMORY"}
_KEYLESS = {"PING", "INFO", "CONFIG", "TIME", "DBSIZE", "SCRIPT", "CLIENT", "WAIT", "WAITAOF", "PUBLISH", "SCAN"}


@dataclass(frozen=True)
class Profile:
    """How steps are sent to one store: which script library, which clock, which barrier after durable calls."""

    scripts: dict[str, Script] = field(default_factory=library)
    declared_clock: bool = False
    barrier: tuple[Argument, ...] = ()  # e.g. ("WAIT", 1, 1000); empty = none
    barrier_wanted: int = 0  # the least first number the barrier must answer
    is_cluster: bool = False
    where: str = ""  # the address for messages, without its password


Round = Generator[list[Request], list[Any], list[Any]]


def exchange(profile: Profile, steps: Sequence[Call | Command]) -> Round:
    """Yields the requests of one or two round trips, is sent their raw replies, returns decoded replies in order."""
    replies, barriers = _split((yield _requests(profile, steps, _evalsha)), profile, steps)
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
    if unknown:
        late = range(unknown[0], len(steps))
        ordered = [index for index in late if isinstance(call := steps[index], Call) and call.ordered]
        unknown = sorted({*unknown, *ordered})
        again = [steps[index] for index in unknown]
        second, more = _split((yield _requests(profile, again, _eval)), profile, again)
        for index, reply in zip(unknown, second, strict=True):
            replies[index] = reply
        barriers = {**barriers, **more}
    return [_decode(step, reply, profile, barriers) for step, reply in zip(steps, replies, strict=True)]


def _requests(profile: Profile, steps: Sequence[Call | Command], evaluate: Any) -> list[Request]:
    requests = []
    for step in steps:
        if isinstance(step, Call):
            requests.append(Request(step.keys[0], _words(profile, step, evaluate)))
        else:
            requests.append(Request(route_of(step.words), step.words))
    if profile.barrier:
        requests += [Request(route, profile.barrier, True) for route in _durable_routes(profile, steps)]
    return requests


def as_eval(profile: Profile, call: Call) -> tuple[Argument, ...]:
    """A call as the words of EVAL, as no server can fail to know the script then."""
    return _words(profile, call, _eval)


def _words(profile: Profile, call: Call, evaluate: Any) -> tuple[Argument, ...]:
    script, keys = profile.scripts[call.script], call.keys
    if profile.declared_clock and script.reads_clock:
        keys = (*keys, clock_of(keys[0]))
    return (*evaluate(script), len(keys), *keys, *call.args)


def _evalsha(script: Script) -> tuple[str, str]:
    return "EVALSHA", script.sha


def _eval(script: Script) -> tuple[str, str]:
    return "EVAL", script.source


def _durable_routes(profile: Profile, steps: Sequence[Call | Command]) -> list[str]:
    """One barrier covers a connection; on a cluster every slot may be on another one."""
    routes = [_slot(step.keys[0], profile) for step in steps if isinstance(step, Call) and step.durable]
    return list(dict.fromkeys(routes))


def _slot(key: str, profile: Profile) -> str:
    return key[: key.index("}") + 1] if profile.is_cluster else ""


def _split(replies: list[Any], profile: Profile, steps: Sequence[Call | Command]) -> tuple[list[Any], dict[str, Any]]:
    if not profile.barrier:
        return replies, {}
    return replies[: len(steps)], dict(zip(_durable_routes(profile, steps), replies[len(steps) :], strict=True))


def _decode(step: Call | Command, reply: Any, profile: Profile, barriers: dict[str, Any]) -> Any:
    if isinstance(reply, Exception):
        return translate(reply, step, profile.where)
    if isinstance(step, Call) and step.durable and barriers:
        count = barriers[_slot(step.keys[0], profile)]
        if isinstance(count, Exception):
            return translate(count, Command(profile.barrier), profile.where)
        if (count[0] if isinstance(count, list) else count) < profile.barrier_wanted:
            return OutcomeUnknown(
                f"{step.script} on {step.keys[0]} is written but not yet durable: {profile.barrier[0]!s} saw "
                f"{count} of {profile.barrier_wanted} in time; repeat it with the same ids"
            )
    if step.decode is None:
        return reply
    try:
        return step.decode(reply)
    except OrchestratorError as error:
        return error


def route_of(words: Sequence[Argument]) -> str:
    """The key that routes a plain command; '' when any node will do."""
    name = str(words[0]).upper()
    if name in _KEYLESS or len(words) < 2:
        return ""
    if name in ("XREAD", "XREADGROUP"):
        return str(words[words.index("STREAMS") + 1])
    return str(words[2 if name in _KEY_THIRD else 1])
