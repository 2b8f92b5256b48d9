"""Restart: an ended workflow starts over under its own id, as if nothing had run, by the same definition or the latest.

Its task records are dropped as a whole, so a large workflow costs no more than a small one. Variables are the
definition's again (Conductor keeps what the former run left in them).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP
from orchestrator.core.beginning import begin
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, refuse
from orchestrator.core.reviving import tell_parent
from orchestrator.model.records import FORMAT, Core
from orchestrator.model.status import is_terminal


def restart(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Start over; ``definition_hash`` names another definition, which the partition has, ``child_versions`` goes with it."""
    if not is_terminal(d.core.status):
        return refuse("CONFLICT", f"workflow {label(d)} is {d.core.status}, only one that has ended can be restarted")
    if d.core.status == "COMPLETED" and not d.program.definition.restartable:
        return refuse("CONFLICT", f"workflow {label(d)} has COMPLETED and is non-restartable")
    definition_hash = arguments.get("definition_hash")
    if definition_hash:
        if not d.use_program(definition_hash):
            return refuse(
                "NOT_FOUND", f"the definition {definition_hash} that workflow {label(d)} is to use is not there"
            )
        d.set_meta(
            replace(
                d.state.meta,
                definition_hash=definition_hash,
                version=d.program.definition.version,
                child_versions=arguments.get("child_versions") or {},
            )
        )
    d.variables = {}
    start_over(d, created_ms=d.now)
    return accept(d)


def start_over(d: Draft, *, created_ms: int) -> None:
    """Drop everything that has run and take up the first step in a new generation."""
    d.drop_everything()
    former = d.core
    d.core = Core(
        format=FORMAT,
        status="RUNNING",
        created_ms=created_ms,
        generation=former.generation + 1,
        last_retried_ms=0 if created_ms == d.now else d.now,  # the workflow's time-out runs from now
        deferred=former.deferred,
        watched_until_ms=former.watched_until_ms,
    )
    d.output = EMPTY_MAP
    tell_parent(d)
    begin(d)
