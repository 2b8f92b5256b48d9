"""A partition's search indexes asked together: how many entries some have in common, and a walk along one of them.

An intersection with its members would copy whole indexes, and asking from here would send every entry to and fro. A walk
goes a page at a time, so that nobody waits for a long one of somebody else's. Called by ``service.indexes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Call

PAGE_MAX = 2_500
"""So many entries of an index at a time: a few milliseconds of the server."""


class Starts(NamedTuple):
    """The range of starts that is walked, both ends included, in ms."""

    low: int = -(2**53)
    high: int = 2**53


class IndexPage(NamedTuple):
    """How many entries were looked at and how many match, and the first of those as ids and starts."""

    seen: int
    matched: int
    entries: list[tuple[str, int]]
    is_last: bool


def count_common(names: Sequence[str]) -> Call:
    """How many entries these indexes of one partition have in common, whenever they started."""
    return Call("count_common", names, ())


def walk_index(
    name: str, others: Sequence[Sequence[str]], starts: Starts, *, at: int, count: int = PAGE_MAX, wanted: int
) -> Call:
    """A page of ``count`` from entry ``at`` on, the latest start first; one of each group of ``others`` must have an entry.

    Example: ``yield walk_index(keys.by_name(3, "order"), [[keys.by_status(3, "FAILED")]], Starts(), at=0, wanted=20)``
    """
    names = [name, *(key for group in others for key in group)]
    sizes = [len(group) for group in others]
    count = min(count, PAGE_MAX)
    return Call("walk_index", names, (*starts, at, count, wanted, *sizes), lambda raw: _page(raw, count))


def _page(raw: list[Any], count: int) -> IndexPage:
    seen, matched, *flat = raw
    entries = [(member.decode(), int(float(start))) for member, start in zip(flat[::2], flat[1::2], strict=True)]
    return IndexPage(seen, matched, entries, seen < count)
