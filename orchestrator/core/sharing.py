"""What a task shares the workers of its queue by: the value of ``fairnessKey`` for it, as its queue is told.

The registered definition of a task type says by which expression, over the input of the task and its workflow, tasks of
different owners are told apart (0047); they take turns in the queue. A value that is missing or empty is an owner too: all
tasks without one share one turn. Called by the operator of queued tasks.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.core.caching import InputScope
from orchestrator.core.expressions import Template, compile_template

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft

LENGTH_MAX = 100
"""A longer value, or one with characters that are not printed, is told apart by its hash."""


def keys_of(d: Draft, queue: str, given: Any) -> str:
    """The keys of a task of this queue with this input; empty where its queue's definition names none."""
    task_def = d.facts.task_defs.get(queue)
    if task_def is None or not task_def.fairness_key:
        return ""
    scope = InputScope(d, given if isinstance(given, dict) else {})
    return f"={_text(_template(task_def.fairness_key).render(scope))}\n"


@lru_cache(maxsize=1024)
def _template(expression: str) -> Template:
    return compile_template(expression)


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    if len(text) > LENGTH_MAX or not text.isprintable():
        return hashlib.sha256(text.encode()).hexdigest()[:32]
    return text
