"""Update variables: keys given from outside are laid over the workflow's variables."""

from __future__ import annotations

from typing import Any

from orchestrator.codec import pack
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.errors import InvalidPayload


def update_variables(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Lay ``variables`` over those that are there; nothing changes when they would grow too large."""
    if (ended := refuse_ended(d, "its variables cannot be changed")) is not None:
        return ended
    given: dict[str, Any] = arguments.get("variables") or {}
    if arguments.get("append_array"):
        given = {name: _behind(d.current_variables().get(name), value) for name, value in given.items()}
    return lay_over(d, given) or accept(d)


def _behind(held: Any, value: Any) -> Any:
    """A list goes behind the list that is there, anything else becomes its last element."""
    if not isinstance(held, list):
        return value
    return [*held, *value] if isinstance(value, list) else [*held, value]


def lay_over(d: Draft, given: dict[str, Any]) -> Answer | None:
    """Change the variables, or say why not."""
    merged = {**d.current_variables(), **given}
    limit = d.facts.variables_bytes_max
    try:
        size = len(pack(merged, "variables"))
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    if size > limit:
        return refuse(
            "INVALID_PAYLOAD",
            f"The variables payload size: {size} of workflow: {d.workflow_id} is greater than the permissible limit: "
            f"{limit // 1024} kilobytes",
        )
    d.variables = merged
    return None
