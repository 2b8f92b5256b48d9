"""What a Python script may call and compute with: every operation is counted before it is done.

Only JSON-like values exist: null, booleans, numbers, texts, lists, tuples, sets, maps, and ranges to loop over. There is
no attribute, no import and no object of the host behind any of them; a method is a name in these tables. ``Meter`` is
where time and memory are paid.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sized
from typing import Any

from orchestrator.scripts.limits import MemoryExceeded, ScriptFailed, TimeExceeded

INT_BITS_MAX = 1024
"""Larger numbers could not be a result anyway, and their arithmetic would take time that no step counts."""

ELEMENT_BYTES = 64


class Meter:
    """Counts the steps and the memory of one run. Memory is only ever added: what was freed is not given back."""

    __slots__ = ("bytes", "bytes_max", "now_s", "steps", "steps_max", "stop_s")

    def __init__(
        self, steps_max: int | None, bytes_max: int, *, now_s: Callable[[], float] | None = None, stop_s: float = 0
    ) -> None:
        self.steps = 0
        self.steps_max = steps_max
        self.bytes = 0
        self.bytes_max = bytes_max
        self.now_s = now_s
        self.stop_s = stop_s

    def step(self, count: int = 1) -> None:
        """Some work is about to be done. Raises ``TimeExceeded``."""
        before = self.steps
        self.steps += count
        if self.steps_max is not None and self.steps > self.steps_max:
            raise TimeExceeded
        if self.now_s is not None and before >> 10 != self.steps >> 10 and self.now_s() > self.stop_s:
            raise TimeExceeded

    def take(self, count: int) -> None:
        """So many bytes are about to be made. Raises ``MemoryExceeded``."""
        self.bytes += count
        if self.bytes > self.bytes_max:
            raise MemoryExceeded

    def walk(self, *values: Any) -> None:
        """These values are about to be looked through to the bottom."""
        work = list(values)
        while work:
            value = work.pop()
            if isinstance(value, str):
                self.step(1 + len(value) // 64)
            elif isinstance(value, list | tuple | set | frozenset):
                self.step(1 + len(value))
                work.extend(value)
            elif isinstance(value, dict):
                self.step(1 + len(value))
                work.extend(value)
                work.extend(value.values())
            else:
                self.step(len(value) if isinstance(value, range) else 1)

    def made(self, value: Any) -> Any:
        """A value was made of what is there: its own size is paid, not that of what it holds."""
        if isinstance(value, str):
            self.take(len(value))
        elif isinstance(value, list | tuple | set | frozenset | dict):
            self.step(len(value) // 8)
            self.take(ELEMENT_BYTES * (1 + len(value)))
        return value


def size(value: Any) -> int:
    """How many elements a value has; 1 for those that have none."""
    return len(value) if isinstance(value, Sized) else 1


# --- operators ----------------------------------------------------------------------------------------------------------


def add(meter: Meter, left: Any, right: Any) -> Any:
    """``left + right``."""
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        meter.take((len(left) + len(right)) * (1 if isinstance(left, str) else 8))
        meter.step((len(left) + len(right)) // 64)
    return _bounded(left + right)


def multiply(meter: Meter, left: Any, right: Any) -> Any:
    """``left * right``."""
    for times, value in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(times, int):
            meter.take(max(times, 0) * len(value) * (1 if isinstance(value, str) else 8))
    return _bounded(left * right)


def power(meter: Meter, left: Any, right: Any) -> Any:
    """``left ** right``."""
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > 2 * INT_BITS_MAX:
        raise ScriptFailed("the number is too large")
    return _bounded(left**right)


def shift_left(meter: Meter, left: Any, right: Any) -> Any:
    """``left << right``."""
    if isinstance(right, int) and right > INT_BITS_MAX:
        raise ScriptFailed("the number is too large")
    return _bounded(left << right)


def modulo(meter: Meter, left: Any, right: Any) -> Any:
    """``left % right``, of numbers only: formatting a text that way knows no bounds."""
    if isinstance(left, str):
        raise ScriptFailed("% does not format texts here; use an f-string")
    return left % right


def _bounded(value: Any) -> Any:
    if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > INT_BITS_MAX):
        raise ScriptFailed("the number is too large" if isinstance(value, int) else "complex numbers do not exist here")
    return value


def _plain(function: Callable[[Any, Any], Any]) -> Callable[[Meter, Any, Any], Any]:
    def apply(meter: Meter, left: Any, right: Any) -> Any:
        if isinstance(left, Sized) or isinstance(right, Sized):
            meter.walk(left, right)
        return function(left, right)

    return apply


BINARY: dict[str, Callable[[Meter, Any, Any], Any]] = {
    "Add": add,
    "Sub": _plain(operator.sub),
    "Mult": multiply,
    "Div": _plain(operator.truediv),
    "FloorDiv": _plain(operator.floordiv),
    "Mod": modulo,
    "Pow": power,
    "LShift": shift_left,
    "RShift": _plain(operator.rshift),
    "BitAnd": _plain(operator.and_),
    "BitOr": _plain(operator.or_),
    "BitXor": _plain(operator.xor),
}
COMPARE: dict[str, Callable[[Meter, Any, Any], Any]] = {
    "Eq": _plain(operator.eq),
    "NotEq": _plain(operator.ne),
    "Lt": _plain(operator.lt),
    "LtE": _plain(operator.le),
    "Gt": _plain(operator.gt),
    "GtE": _plain(operator.ge),
    "Is": lambda meter, left, right: left is right,
    "IsNot": lambda meter, left, right: left is not right,
    "In": _plain(lambda left, right: left in right),
    "NotIn": _plain(lambda left, right: left not in right),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "Not": operator.not_,
    "USub": operator.neg,
    "UAdd": operator.pos,
    "Invert": operator.invert,
}

# --- functions ----------------------------------------------------------------------------------------------------------


def _text(value: Any = "") -> str:
    return value if isinstance(value, str) else str(value)


def _whole(value: Any = 0, base: int | None = None) -> int:
    made = int(value) if base is None else int(value, base)
    return int(_bounded(made))


def _is_instance(value: Any, kinds: Any) -> bool:
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    types = tuple(TYPES[kind] for kind in wanted if kind in TYPES)
    if len(types) != len(wanted):
        raise ScriptFailed("isinstance takes str, int, float, bool, list, dict, set or tuple")
    return isinstance(value, types)


def _power(base: Any, exponent: Any) -> Any:
    return power(Meter(None, 0), base, exponent)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "bool": bool,
    "chr": chr,
    "dict": dict,
    "divmod": divmod,
    "enumerate": lambda items, start=0: [(index, item) for index, item in enumerate(items, start)],
    "filter": lambda function, items: [item for item in items if (item if function is None else function(item))],
    "float": float,
    "int": _whole,
    "isinstance": _is_instance,
    "len": len,
    "list": list,
    "map": lambda function, *items: list(map(function, *items)),
    "max": max,
    "min": min,
    "ord": ord,
    "pow": _power,
    "range": range,
    "reversed": lambda items: list(reversed(items)),
    "round": round,
    "set": set,
    "sorted": sorted,
    "str": _text,
    "sum": lambda items, start=0: _sum(items, start),
    "tuple": tuple,
    "zip": lambda *items: list(zip(*items, strict=False)),
}
TYPES: dict[Any, type] = {
    FUNCTIONS["str"]: str,
    FUNCTIONS["int"]: int,
    float: float,
    bool: bool,
    list: list,
    dict: dict,
    set: set,
    tuple: tuple,
}


def _sum(items: Iterable[Any], start: Any) -> Any:
    total = start
    for item in items:
        if not isinstance(item, int | float):
            raise ScriptFailed("sum adds numbers; lists and texts are joined with + and join")
        total = _bounded(total + item)
    return total


# --- methods ------------------------------------------------------------------------------------------------------------

_OF_TEXT = """
capitalize casefold center count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace
istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit
rstrip split splitlines startswith strip swapcase title upper zfill
"""
_OF_LIST = "append clear copy count extend index insert pop remove reverse sort"
_OF_MAP = "clear copy get items keys pop popitem setdefault update values"
_OF_SET = """
add clear copy difference discard intersection isdisjoint issubset issuperset pop remove symmetric_difference union update
"""
METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_OF_TEXT.split()),
    list: frozenset(_OF_LIST.split()),
    tuple: frozenset(("count", "index")),
    dict: frozenset(_OF_MAP.split()),
    set: frozenset(_OF_SET.split()),
    int: frozenset(("bit_length",)),
    float: frozenset(("is_integer",)),
}
_PADDED = frozenset(["zfill", "ljust", "rjust", "center"])


def method(value: Any, name: str) -> Callable[..., Any]:
    """A method of a value. Raises ``ScriptFailed`` for one that is not in the table."""
    kind = type(value)
    if name not in METHODS.get(kind, ()):
        raise ScriptFailed(f"{kind.__name__} has no method {name} here")
    found: Callable[..., Any] = getattr(value, name)
    return found


_NAMED = frozenset(["default", "key", "keepends", "maxsplit", "reverse", "sep", "start"])
"""What may be given by name: none of it is looked through, so it need not be paid for."""

_GROWS = frozenset(["add", "append", "extend", "insert", "setdefault", "symmetric_difference", "union", "update"])
_LOOKS_UP = frozenset(["add", "append", "get", "pop", "setdefault"])


def call_method(meter: Meter, value: Any, name: str, given: list[Any], named: dict[str, Any]) -> Any:
    """Call a method of a value, after paying for what it will look through and make."""
    found = method(value, name)
    _check_names(name, named)
    meter.walk(None if name in _LOOKS_UP else value, *given)
    if name in _PADDED and given and isinstance(given[0], int):
        meter.take(max(given[0], 0))
    if name == "replace" and len(given) >= 2 and isinstance(given[0], str) and isinstance(given[1], str):
        meter.take(len(value) + (len(value) // max(len(given[0]), 1) + 1) * len(given[1]))
    if name == "join" and given:
        pieces = [piece for piece in given[0] if isinstance(piece, str)]
        meter.take(sum(map(len, pieces)) + len(value) * len(pieces))
    if name in _GROWS:
        meter.take(ELEMENT_BYTES * sum(map(size, given)))
    result = found(*given, **named)
    if name in ("keys", "values", "items"):
        result = list(result)
    return meter.made(result)


def call_function(meter: Meter, name: str, given: list[Any], named: dict[str, Any]) -> Any:
    """Call one of ``FUNCTIONS``, after paying for what it will look through."""
    if name != "dict":
        _check_names(name, named)
    if name not in ("len", "bool", "isinstance"):
        meter.walk(*given)
        meter.take(sum(ELEMENT_BYTES * len(value) for value in given if isinstance(value, range)))
    if name == "sorted" and given:
        meter.step(size(given[0]) * max(size(given[0]).bit_length(), 1))
    if name == "round" and len(given) > 1 and isinstance(given[1], int) and abs(given[1]) > 400:
        raise ScriptFailed("round takes at most 400 digits")
    return meter.made(_bounded(FUNCTIONS[name](*given, **named)))


def _check_names(name: str, named: dict[str, Any]) -> None:
    for each in named:
        if each not in _NAMED:
            raise ScriptFailed(f"{name} takes {each} by its place, not by its name")
