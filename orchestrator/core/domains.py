"""Which domain of its queue a task is sent to: the first of those that its workflow names that somebody polled lately.

Who polled when is a fact that the decision is given (Conductor: ``assignTaskDomains``); it is chosen when the task is made,
and anew for each attempt. Nothing is asked where a workflow names one domain only. Called by the operator of queued tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft

NO_DOMAIN = "NO_DOMAIN"
"""As an entry: the queue's own tasks, which workers without a domain poll."""

RECENT_MS = 10_000
"""A domain that was polled so lately has workers."""


def choose(d: Draft, queue: str) -> str | None:
    """The domain of a task of this queue: by the entry for its type, else for ``*``; the last if nobody polls another."""
    task_to_domain = d.state.meta.task_to_domain
    entry = task_to_domain.get(queue, task_to_domain.get("*")) if task_to_domain else None
    if not entry:
        return None
    *preferred, last = [name.strip() for name in entry.split(",")]
    for name in preferred:
        if name and name != NO_DOMAIN and d.now - d.polled_ms(queue, name) <= RECENT_MS:
            return name
    return None if not last or last == NO_DOMAIN else last
