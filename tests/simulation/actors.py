"""Somebody with a life, between two steps of it: what is under way, since when it sleeps and what may wake it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.plan import Call, Command
from tests.simulation.life import Life


@dataclass
class Actor:
    """Somebody with a life, in the middle of it."""

    name: str
    life: Life
    again: Callable[[str], Life]  # how a successor lives
    wake_ms: int = 0
    inboxes: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()
    asleep_since: int = 0
    todo: list[tuple[int, Call | Command]] = field(default_factory=list)
    is_list: bool = False
    replies: dict[int, Any] = field(default_factory=dict)
    answer: Any = None
    error: Exception | None = None
    has_stalled: bool = False
