"""Store work as data: a plan yields what it wants done and is sent the answers.

A *plan* is a generator. It yields one ``Call`` (a script) or ``Command`` (a plain Redis command), a list of them (sent
in one pipeline), a ``Wait``, a ``Send`` and later its ``Receive``, or ``Outside``; it receives the decoded reply, or a list of
replies. Nothing here does I/O: the sync executor, the async executor and the simulator drive the same plans, so no verb
is written twice.

A single call that fails raises inside the plan. In a list, a reply that failed is the exception itself, in its place,
because one refused script must not hide what the others did; a lost connection always raises.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

Argument = str | bytes | int

T = TypeVar("T")


class Call(NamedTuple):
    """One run of the Lua script ``script``: all its ``keys`` carry the same hash tag.

    ``decode`` turns the raw reply (bytes, ints, lists) into what the plan receives. ``durable`` asks for the configured
    durability barrier before the answer counts. ``ordered`` says that it relies on running after the calls before it in
    its list: when one of those had to be sent anew, because the server did not know its script, this one is repeated
    behind it. So it must be safe to repeat.
    """

    script: str
    keys: Sequence[str]
    args: Sequence[Argument]
    decode: Callable[[Any], Any] | None = None
    durable: bool = False
    ordered: bool = False


class Command(NamedTuple):
    """One plain Redis command, e.g. ``Command(("HMGET", key, "v", "c"))``; the second word is the key that routes it."""

    words: Sequence[Argument]
    decode: Callable[[Any], Any] | None = None


class Wait(NamedTuple):
    """Until ``ready(reply of check)``: woken by a message on one of ``channels``, checked anew at least every 2 s.

    The plan receives the last reply, ready or not, after at most ``timeout_s`` seconds.
    """

    channels: Sequence[str]
    check: Call | Command | Sequence[Call | Command]
    ready: Callable[[Any], bool]
    timeout_s: float


class Send(NamedTuple):
    """Begin a pipeline and go on without its replies: the plan receives a token and asks for them with ``Receive``.

    So the plan computes while the store works. The calls of one ``Send`` run in their order, those of two in any.
    """

    steps: Sequence[Call | Command]


class Receive(NamedTuple):
    """The replies to an earlier ``Send``, as to a list of calls. A plan that fails in between never gets them."""

    token: Any


class Outside(NamedTuple):
    """Something that blocks elsewhere than on Redis: done as it is by threads, in a thread by asyncio. Gives its value."""

    work: Callable[[], Any]


Step = Call | Command | Sequence[Call | Command] | Wait | Send | Receive | Outside
Plan = Generator[Step, Any, T]
