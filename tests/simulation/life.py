"""What actors may ask of the world besides store steps, and the world as actors see it."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from orchestrator.plan import Step

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.store.context import StoreContext
    from tests.simulation.disk import Disk
    from tests.simulation.faults import Faults
    from tests.simulation.ledger import Ledger
    from tests.simulation.workload import Workload


class Sleep(NamedTuple):
    """Let virtual time pass; ended early by an inbox (partition numbers) or a wake-up of a queue (task types).

    Answered by the wake-up, a (task type, token), or by nothing.
    """

    ms: int
    inboxes: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()


class Act(NamedTuple):
    """Something the simulator does itself between two steps of others; the actor is sent what it returns."""

    what: Callable[[Disk], Any]


T = TypeVar("T")
Part = Generator[Step | Sleep | Act, Any, T]
Life = Part[None]


class Surroundings(Protocol):
    """What a life knows of the world."""

    settings: Settings
    ledger: Ledger
    workload: Workload
    faults: Faults
    disk: Disk

    @property
    def now(self) -> int:
        """The virtual time in ms."""

    def store(self) -> StoreContext:
        """A store context as a fresh process has it."""

    def random_of(self, name: str) -> random.Random:
        """A source of randomness for one actor, the same in every run of the seed."""

    def travelling(self, script: str, word: str) -> bool:
        """Whether a late step of that script with that argument is still on its way."""
