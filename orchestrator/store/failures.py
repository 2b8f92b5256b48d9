"""What redis-py's errors mean: each becomes one of the product's own, saying what was refused, where, and what to do next.

Called by the executors for what happens on a connection, and by ``exchange`` for error replies. Nothing is retried here.
"""

from __future__ import annotations

import re

import redis

from orchestrator.errors import OrchestratorError, OutcomeUnknown, StoreForbidden, StoreRefused, StoreUnavailable
from orchestrator.plan import Call, Command

LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException, OSError)

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
_REFUSALS = {
    "OOM": ("Redis is out of memory", "raise maxmemory or remove finished workflows"),
    "MISCONF": ("Redis cannot save its data to disk", "see its log and free the disk"),
    "NOREPLICAS": (
        "too few replicas are connected for min-replicas-to-write",
        "see why they are away (INFO replication)",
    ),
    "NOPERM": ("the Redis user lacks rights", "grant it ~<namespace>:* and &<namespace>:* and the commands named"),
    "NOAUTH": ("Redis asks for a password", "put it in the URL, redis://:PASSWORD@host:6379/0"),
    "WRONGPASS": (
        "Redis refused user name or password of the URL",
        "correct them, redis://USER:PASSWORD@host:6379/0",
    ),
    "WRONGTYPE": ("a key of this namespace holds data of another program", "use another namespace"),
}
"""What is wrong and what to do, by the word that Redis answers with."""

_FORBIDDEN = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
_TYPE_TO_CODE: dict[type[Exception], str] = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.NoPermissionError: "NOPERM",
}
_HALF_WAY = "The user executing the script can't"
"""How Redis says NOPERM of a command inside a script."""

_TLS_REFUSALS = (
    (
        re.compile("certificate has expired"),
        "the TLS certificate of Redis has expired",
        "renew it on the server",
    ),
    (
        re.compile("not yet valid"),
        "the TLS certificate of Redis is not valid yet",
        "look at the clocks of this machine and of the one that made it",
    ),
    (
        re.compile("Hostname mismatch|IP address mismatch"),
        "the TLS certificate of Redis is for another host",
        "write into the URL a name that the certificate has",
    ),
    (
        re.compile("CERTIFICATE_VERIFY_FAILED"),
        "the TLS certificate of Redis is signed by nobody who is trusted here",
        "name the file with the certificate of its authority in the URL, ?ssl_ca_certs=FILE",
    ),
    (
        re.compile("CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE"),
        "Redis wants to see a TLS certificate of this client that it trusts",
        "name its files in the URL, ?ssl_certfile=FILE&ssl_keyfile=FILE",
    ),
    (
        re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE"),
        "what listens there does not speak TLS",
        "write redis:// instead of rediss:// into the URL",
    ),
    (
        re.compile(r"\[SSL\] PEM|KEY_VALUES_MISMATCH|NO_CERTIFICATE_OR_CRL_FOUND"),
        "a file of ssl_ca_certs, ssl_certfile or ssl_keyfile in the Redis URL is not what it should be",
        "look at what is in them",
    ),
)


def translate(error: Exception, step: Call | Command | None = None, where: str = "") -> OrchestratorError:
    """The product's error for one of redis-py's; ``where`` is the store's address without its password."""
    if isinstance(error, OrchestratorError):
        return error
    what = "" if step is None else _describe(step) + ": "
    text = str(error) or type(error).__name__
    detail = f"{where}: {text}" if where else text
    word = text.split(" ", 1)[0].rstrip(":")
    if isinstance(error, redis.AuthenticationError):
        is_missing = "NOAUTH" in text or "Authentication required" in text
        return _refusal("NOAUTH" if is_missing else "WRONGPASS", what, detail)
    for signs, problem, fix in _TLS_REFUSALS if "ssl" in text.lower() else ():
        if signs.search(text):
            return StoreRefused(what + problem, fix, detail=detail, is_passing=True)
    if isinstance(error, LOST + _TRY_LATER) or word in _TRY_LATER_WORDS:
        return StoreUnavailable(f"{what}Redis is not available: {text}; repeat later")
    for code in _REFUSALS:
        if word == code or _TYPE_TO_CODE.get(type(error)) == code or (code == "NOPERM" and _HALF_WAY in text):
            return _refusal(code, what, detail)
    return StoreRefused(f"{what}Redis refused: {text}")


def is_passing(error: Exception) -> bool:
    """Whether an error is about the server and not about the keys and arguments of the step: later it will pass.

    Out of memory, a full disk, missing rights, a certificate or an outage say nothing of the workflow that met them.
    """
    return isinstance(error, StoreUnavailable | OutcomeUnknown) or (
        isinstance(error, StoreRefused) and error.is_passing
    )


def _refusal(code: str, what: str, detail: str) -> StoreRefused:
    kind = StoreForbidden if code in _FORBIDDEN else StoreRefused
    problem, fix = _REFUSALS[code]
    return kind(what + problem, fix, detail=detail, is_passing=code != "WRONGTYPE")


def _describe(step: Call | Command) -> str:
    if isinstance(step, Call):
        return f"{step.script} on {step.keys[0]}"
    return " ".join(str(word) for word in step.words[:2])
