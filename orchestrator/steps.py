"""``Steps``: all verbs that place steps, and ``Branch``, a sequence of steps that is written on its own.

The verbs themselves stand in ``placing`` (worker tasks and names), ``steering`` (operators) and ``serving`` (system
tasks); ``workflow`` builds on this room and holds what surrounds the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from orchestrator.serving import Serving
from orchestrator.steering import Steering
from orchestrator.task import Task


class Steps(Steering, Serving):
    """A sequence of steps with fluent verbs; use it as ``Workflow`` or ``Branch``."""


class Branch(Steps):
    """Steps for a fork, a switch or a loop, written on their own.

    Example: ``order.fork(Branch().then(pick).then(pack), Branch().then(invoice))``
    """


BranchLike: TypeAlias = Branch | Task[..., Any] | str | Sequence[Task[..., Any] | str]
"""What stands for a branch: a ``Branch``, one task, or a list of tasks (objects or names)."""
