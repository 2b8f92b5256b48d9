"""What a task shares the workers of its queue by, and what it is limited by: ``fairnessKey`` and ``limitKey`` rendered for it.

The registered definition of a task type says by which expressions, over the input of the task and its workflow, tasks are
told apart: those of different owners take turns in the queue (0047), and limits hold for each value of ``limitKey`` (0048). A
value that is missing or empty is a value too: all tasks without one share one turn, and one limit. Called by the operator
of queued tasks.
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
    if task_def is None or not (task_def.fairness_key or task_def.limit_key):
        return ""
    scope = InputScope(d, given if isinstance(given, dict) else {})
    owner = f"={_text(task_def.fairness_key, scope)}" if task_def.fairness_key else ""
    return f"{owner}\n{_text(task_def.limit_key, scope) if task_def.limit_key else ''}"


@lru_cache(maxsize=1024)
def _template(expression: str) -> Template:
    return compile_template(expression)


def _text(expression: str, scope: InputScope) -> str:
    value = _template(expression).render(scope)
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    if len(text) > LENGTH_MAX or not text.isprintable():
        return hashlib.sha256(text.encode()).hexdigest()[:32]
    return text
