"""User payloads to bytes and back: MessagePack, with every value checked at the entrance.

A payload is what JSON can say. Anything else is refused with the path of the bad value, before it is stored: integers
beyond 64 bit, NaN and infinities, lone surrogates, keys that are not text, nesting deeper than 100. Inside the engine
payloads travel as bytes and are decoded only where an expression looks into them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgpack

from orchestrator.errors import InvalidPayload

DEPTH_MAX = 100
INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1

EMPTY_MAP = b"\x80"
NULL = b"\xc0"


def pack(value: Any, path: str = "", bytes_max: int | None = None) -> bytes:
    """Bytes of a JSON-like value; tuples become lists.

    Raises ``InvalidPayload`` with the path of the first value that cannot be kept exactly, or when the result is larger
    than ``bytes_max``. Example: ``pack({"amount": 12}) == b"\\x81\\xa6amount\\x0c"``
    """
    check(value, path)
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    if bytes_max is not None and len(packed) > bytes_max:
        raise InvalidPayload(
            path, f"payload of {len(packed):,} bytes is greater than the permissible limit: {bytes_max:,} bytes"
        )
    return packed


def unpack(data: bytes | memoryview) -> Any:
    """The value of bytes made by ``pack``.

    Damaged bytes raise instead of exhausting memory, because no length inside them may exceed theirs. Raises
    ``InvalidPayload`` when the bytes are not one complete payload.
    """
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise InvalidPayload("", f"stored payload is damaged ({error or type(error).__name__})") from error


def check(value: Any, path: str = "") -> None:
    """Raise ``InvalidPayload`` unless ``value`` survives a round trip unchanged."""
    _check(value, path, DEPTH_MAX)


def _check(value: Any, path: str, depth: int) -> None:
    if value is None or value is True or value is False:
        return
    kind = type(value)
    if kind is str:
        _check_text(value, path)
    elif kind is int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise InvalidPayload(path, f"integer {_short(value)} is outside -2^63..2^64-1; send it as text")
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidPayload(path, f"{value} is not a JSON number; send null or text")
    elif depth == 0:
        raise InvalidPayload(path, f"nested deeper than {DEPTH_MAX} levels")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidPayload(path, f"key {_short(key)} is not text")
            _check_text(key, path)
            _check(item, f"{path}.{key}" if path else key, depth - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth - 1)
    elif isinstance(value, str | int | float):
        _check(_plain(value), path, depth)
    else:
        raise InvalidPayload(path, f"a value of type {kind.__name__} is not JSON; convert it first")


def _plain(value: str | int | float) -> str | int | float:
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    raise AssertionError(value)


def _check_text(value: str, path: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidPayload(path, "text holds a lone surrogate and has no UTF-8 form") from error


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "(very large)"
    return text if len(text) <= 40 else text[:37] + "..."
