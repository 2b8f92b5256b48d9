"""What a route is: method, path, handler and who may call it; everything else stands in the handler's signature.

The first parameter of a handler is the store, when it is a plan, or the visit, when it is a coroutine (for what must
wait for something other than the store). Parameters named in the path come from there, one called ``body`` is the
body, ``request_id`` is the id under which the caller repeats, ``trace`` the trace in the headers that the caller is
part of, and all others are query parameters under their JSON names. The type of what the plan gives is the answer's:
``str`` is sent as plain text, ``None`` as an empty body, all else as JSON.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, get_args, get_type_hints

from orchestrator.model.wire_write import json_name
from orchestrator.plan import Plan

Handler = Callable[..., Any]

_PLACE = re.compile(r"\{(\w+)\}")
_NOT_QUERY = frozenset({"body", "request_id", "trace"})


class Role(StrEnum):
    """Who may call a route. ``OPEN``: anybody, also without a key."""

    OPEN = "open"
    VIEWER = "viewer"
    WORKER = "worker"
    OPERATOR = "operator"
    ADMIN = "admin"


class Document(str):
    """An answer that is text of a kind of its own; the type in a handler's signature says which."""

    media_type: ClassVar[str]


class Html(Document):
    """An answer that is a page."""

    media_type = "text/html"


class Parameter(NamedTuple):
    """One parameter of a handler; ``wire`` is its name in the request."""

    name: str
    wire: str
    kind: Any
    default: Any

    @property
    def is_required(self) -> bool:
        """Whether the request must have it."""
        return self.default is inspect.Parameter.empty


class Shape(NamedTuple):
    """A handler as its signature says."""

    path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    body: Parameter | None
    answer: Any
    takes_request_id: bool
    takes_trace: bool
    is_async: bool


@dataclass(frozen=True)
class Route:
    """One operation. ``status`` is that of success, ``empty_status`` that of an answer which is ``None``.

    ``body_of``: the body is the arguments of this plan, as ``protocol.forms`` reads them.

    Example: ``Route("GET", "/metadata/workflow/{name}", get_workflow, Role.VIEWER)``
    """

    method: str
    path: str
    handler: Handler
    role: Role
    status: int = 200
    empty_status: int = 0
    body_of: Callable[..., Plan[Any]] | None = None

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The path in parts; a place for a value is ``{name}``."""
        return tuple(part for part in self.path.split("/") if part)

    @cached_property
    def summary(self) -> str:
        """What it does, in a sentence: the first of the handler's docstring."""
        return inspect.getdoc(self.handler).partition("\n")[0]  # type: ignore[union-attr]

    @cached_property
    def shape(self) -> Shape:
        """What the handler takes and gives."""
        hints = get_type_hints(self.handler)
        _, *given = inspect.signature(self.handler).parameters.values()
        named = [Parameter(one.name, json_name(one.name), hints[one.name], one.default) for one in given]
        in_path = _PLACE.findall(self.path)
        is_async = inspect.iscoroutinefunction(self.handler)
        return Shape(
            path=tuple(next(one for one in named if one.name == name) for name in in_path),
            query=tuple(one for one in named if one.name not in _NOT_QUERY and one.name not in in_path),
            body=next((one for one in named if one.name == "body"), None),
            answer=hints["return"] if is_async else get_args(hints["return"])[2],
            takes_request_id=any(one.name == "request_id" for one in named),
            takes_trace=any(one.name == "trace" for one in named),
            is_async=is_async,
        )
