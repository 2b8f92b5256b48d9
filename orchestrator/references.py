"""References as values: ``order.input.amount`` and ``charge.output["id"]`` instead of hand-written ``${...}`` text.

A reference knows only the path it will read when the workflow runs; it has no value while the workflow is written, so
asking it for one (``if``, ``for``, arithmetic) is refused. ``render`` and the functions after it turn references and
other Python values into what a definition stores. Used by the workflow builder; nothing here knows tasks, definitions
or how paths are resolved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

import msgspec

from orchestrator import codec
from orchestrator.errors import InvalidPayload, InvalidRequest

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Reference:
    """A path into the running workflow; ``str()`` of it, also inside an f-string, is its ``${...}`` expression.

    Attributes and items lead deeper: ``ref.items[0]["unit price"]`` is ``${...items[0]['unit price']}``. Names that
    start with an underscore are reached with ``[...]``. Example: ``f"Order {order.input.sku}"``
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Reference:
        # Protocols (copy, pickle, numpy, test tools) probe for underscored names and must not be told that they exist.
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, key: str | int) -> Reference:
        if isinstance(key, int):
            return Reference(f"{self._path}[{key}]")
        if _PLAIN_NAME.fullmatch(key):
            return Reference(f"{self._path}.{key}")
        escaped = key.replace("\\", "\\\\").replace("'", "\\'")
        return Reference(f"{self._path}['{escaped}']")

    # Without these, Python would iterate through __getitem__(0), (1), ... without end.
    __iter__ = None
    __contains__ = None

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self} has no value while the workflow is being written; to branch on it when the workflow runs, "
            "use .switch(...)"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    def __str__(self) -> str:
        return "${" + self._path + "}"

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"{self} has no value yet, so it cannot be formatted with {spec!r}")
        return str(self)

    def __repr__(self) -> str:
        return f"Reference({self._path!r})"


class Step:
    """A step already placed in a workflow or branch: what later steps refer to.

    Example: ``charge = order.step(charge_card); order.then(ship, payment=charge.output["id"])``
    """

    __slots__ = ("_fixed", "_ref", "stem")

    def __init__(self, ref: str, *, stem: str, fixed: bool) -> None:
        self._ref = ref
        self._fixed = fixed
        self.stem = stem
        """What an automatic name is numbered from."""

    @property
    def ref(self) -> str:
        """The reference name. Once it was read it may stand in somebody's text, so it no longer changes."""
        self._fixed = True
        return self._ref

    @property
    def input(self) -> Reference:
        """What the step was given. Example: ``charge.input.amount``"""
        return Reference(f"{self.ref}.input")

    @property
    def output(self) -> Reference:
        """What the step gave back. Example: ``charge.output["id"]``"""
        return Reference(f"{self.ref}.output")

    @property
    def status(self) -> Reference:
        """How the step ended, as text such as ``COMPLETED``."""
        return Reference(f"{self.ref}.status")

    @property
    def is_fixed(self) -> bool:
        """Whether the reference name was chosen by the author or has been used, so that it must not be renumbered."""
        return self._fixed

    def renumber(self, ref: str) -> None:
        """Take another reference name, when the branch joins a workflow that uses this one already."""
        self._ref = ref

    def __repr__(self) -> str:
        return f"Step({self._ref!r})"


def render(value: Any, path: str = "") -> Any:
    """``value`` as JSON can say it, with references as ``${...}`` text and a step as its whole output.

    Dataclasses, enums, dates and the like become what JSON has for them. Raises ``InvalidPayload`` with the path of
    what cannot be stored. Example: ``render({"id": Reference("charge.output.id")}) == {"id": "${charge.output.id}"}``
    """
    rendered = _rendered(value, path)
    codec.check(rendered, path)
    return rendered


def _rendered(value: Any, path: str) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Reference):
        return str(value)
    if isinstance(value, Step):
        return str(value.output)
    if isinstance(value, Mapping):
        return {key: _rendered(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(item, f"{path}[{index}]") for index, item in enumerate(value)]
    try:
        return msgspec.to_builtins(value)
    except TypeError:
        raise InvalidPayload(path, f"a value of type {type(value).__name__} cannot stand in a definition") from None


def case_text(case: object) -> str:
    """A case's key as the text that the value at run time is compared with; ``case_text(True) == "true"``."""
    plain = msgspec.to_builtins(case)
    if plain is None or isinstance(plain, bool):
        return {None: "null", True: "true", False: "false"}[plain]
    if isinstance(plain, float) and plain.is_integer():
        return str(int(plain))
    return str(plain)


def duration_text(seconds: int | timedelta | Reference) -> str:
    """A length of time as WAIT reads it; ``duration_text(90) == "90s"``. Raises ``InvalidRequest`` for part seconds."""
    if isinstance(seconds, Reference):
        return f"{seconds}s"
    exact = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if exact < 0 or exact != int(exact):
        raise InvalidRequest(f"wait(for_s={exact}) must be a whole number of seconds, zero or more")
    return f"{int(exact)}s"


def until_text(moment: str | date | Reference) -> str:
    """A moment as WAIT reads it, a ``datetime`` in UTC. Raises ``InvalidRequest`` when that names no time zone.

    Example: ``until_text(datetime(2030, 1, 31, 18, tzinfo=UTC)) == "2030-01-31 18:00 UTC"``
    """
    if not isinstance(moment, datetime):
        return str(moment)
    if moment.tzinfo is None:
        raise InvalidRequest(f"wait(until={moment}) names no time zone; use datetime(..., tzinfo=UTC)")
    exact = moment.astimezone(UTC)
    if exact.microsecond:  # whole seconds only, and never earlier than asked
        exact = exact.replace(microsecond=0) + timedelta(seconds=1)
    return exact.strftime("%Y-%m-%d %H:%M:%S UTC" if exact.second else "%Y-%m-%d %H:%M UTC")
