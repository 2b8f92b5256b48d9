"""What to send for a plan's step and what its replies mean: everything the two executors share, without I/O.

A script is sent as EVALSHA; where the server does not know it (a restart, a failover, a new node) just that one is sent
again as EVAL, which is safe because NOSCRIPT means that it did not run. Durable calls are followed by the profile's
barrier on the same connection. Errors become the product's own, each saying what to do.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from orchestrator.errors import OrchestratorError, OutcomeUnknown, StoreForbidden, StoreRefused, StoreUnavailable
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import clock_of
from orchestrator.store.scripts import Script, library
from orchestrator.store.wire import Request

LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException, OSError)
_KEY_THIRD = {"OBJECT", "XGROUP", "XINFO", "MEMORY"}
_KEYLESS = {"PING", "INFO", "CONFIG", "TIME", "DBSIZE", "SCRIPT", "CLIENT", "WAIT", "WAITAOF", "PUBLISH", "SCAN"}
# redis-py turns the code words it knows into classes and drops the word, so both are looked at.
_TRY_LATER_WORDS = ("BUSY", "UNBLOCKED")
_TRY_LATER = (
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.ReadOnlyError,
)
_ADVICE = {
    "OOM": "Redis is out of memory: raise maxmemory or remove finished workflows",
    "MISCONF": "Redis cannot save its data to disk: see its log and free the disk",
    "NOREPLICAS": "too few replicas are connected for min-replicas-to-write",
    "NOPERM": "the Redis user lacks rights: grant it ~<namespace>:* and &<namespace>:* and the commands named",
    "NOAUTH": "Redis asks for a password: put it in the URL, redis://:PASSWORD@host:6379/0",
    "WRONGPASS": "Redis refused user name or password of the URL",
    "WRONGTYPE": "a key of this namespace holds data of another program: use another namespace",
}


@dataclass(frozen=True)
class Profile:
    """How steps are sent to one store: which script library, which clock, which barrier after durable calls."""

    scripts: dict[str, Script] = field(default_factory=library)
    declared_clock: bool = False
    barrier: tuple[Argument, ...] = ()  # e.g. ("WAIT", 1, 1000); empty = none
    barrier_wanted: int = 0  # the least first number the barrier must answer
    is_cluster: bool = False


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
        return translate(reply, step)
    if isinstance(step, Call) and step.durable and barriers:
        count = barriers[_slot(step.keys[0], profile)]
        if isinstance(count, Exception):
            return translate(count, Command(profile.barrier))
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


def translate(error: Exception, step: Call | Command | None = None) -> OrchestratorError:
    """The product's error for one of redis-py's."""
    if isinstance(error, OrchestratorError):
        return error
    what = "" if step is None else _describe(step) + ": "
    text = str(error) or type(error).__name__
    word = text.split(" ", 1)[0].rstrip(":")
    if isinstance(error, redis.AuthenticationError):
        return StoreForbidden(f"{what}{_ADVICE['NOAUTH'] if 'NOAUTH' in text else _ADVICE['WRONGPASS']} ({text})")
    if isinstance(error, LOST + _TRY_LATER) or word in _TRY_LATER_WORDS:
        return StoreUnavailable(f"{what}Redis is not available: {text}; repeat later")
    for code, advice in _ADVICE.items():
        if word == code or _TYPE_TO_CODE.get(type(error)) == code:
            refusal = StoreForbidden if code in _FORBIDDEN else StoreRefused
            return refusal(f"{what}{advice} ({text})")
    return StoreRefused(f"{what}Redis refused: {text}")


_FORBIDDEN = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
_TYPE_TO_CODE: dict[type[Exception], str] = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.NoPermissionError: "NOPERM",
}


def is_passing(error: Exception) -> bool:
    """Whether an error is about the server and not about the keys and arguments of the step: later it will pass.

    Out of memory, a full disk, missing rights or an outage say nothing of the workflow that met them.
    """
    if isinstance(error, StoreUnavailable | OutcomeUnknown):
        return True
    return isinstance(error, StoreRefused) and any(
        advice in str(error) for code, advice in _ADVICE.items() if code != "WRONGTYPE"
    )


def _describe(step: Call | Command) -> str:
    if isinstance(step, Call):
        return f"{step.script} on {step.keys[0]}"
    return " ".join(str(word) for word in step.words[:2])


def route_of(words: Sequence[Argument]) -> str:
    """The key that routes a plain command; '' when any node will do."""
    name = str(words[0]).upper()
    if name in _KEYLESS or len(words) < 2:
        return ""
    if name in ("XREAD", "XREADGROUP"):
        return str(words[words.index("STREAMS") + 1])
    return str(words[2 if name in _KEY_THIRD else 1])
