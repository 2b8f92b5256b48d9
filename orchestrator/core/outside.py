"""Payloads that are kept outside the store, as decisions see them: by content, once the engine has fetched it.

A decision that looks into one it was not given raises ``PayloadsNeeded`` and is made again with it. What is held here
follows from its name, which is the hash of its content, so it never makes two decisions differ.
"""

from __future__ import annotations

from typing import Any

from orchestrator.codec import unpack
from orchestrator.payloads import path_in


class PayloadsNeeded(Exception):
    """Raised inside a decision that looks into payloads it was not given; ``decide`` turns it into ``Need``."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths


_held: dict[str, bytes] = {}


def supply(path: str, data: bytes) -> None:
    """Hand in a payload for the decisions that follow."""
    _held[path] = data


def forget() -> None:
    """The decisions are made: nothing is held any more."""
    _held.clear()


def unpacked(data: bytes) -> Any:
    """The value of a payload, wherever it is kept. Raises ``PayloadsNeeded``."""
    path = path_in(data)
    if path is None:
        return unpack(data)
    if path not in _held:
        raise PayloadsNeeded([path])
    return unpack(_held[path])
