"""Reading one ``${...}`` expression whose path is known: what it asks the scope for, and how it gets its value.

``expressions`` cuts texts into expressions and fills in what the readers made here return; it is the only caller.
In order: blank is an empty text, ``workflow.secrets.`` stays literal, ``workflow.env.`` asks the environment the scope
allows, a bare name may be a constant of the scope, everything else is a JSONPath that begins with a root. A path that
does not compile reads null, as in Conductor; validation is where it is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from orchestrator.core.jsonpath import Path, PathInvalid, compile_path, walk

SECRETS = "workflow.secrets."

Read = tuple[str, str | None, str | None]  # (root, field or None for all of it, member or None for all of the field)
Render = Callable[["Scope"], Any]

_ENV = "workflow.env."
_ENV_NAME = re.compile(r"[^.\[\s]+")
_CONSTANTS = frozenset({"CPEWF_TASK_ID", "NETFLIX_ENV", "NETFLIX_STACK"})  # names that are never a task


class Scope(Protocol):
    """What an expression may read. A root is ``workflow`` or a task's reference name."""

    def field(self, root: str, name: str) -> object:
        """One field of a root, None when missing. Example: ``field("charge", "output")``."""

    def document(self, root: str) -> object:
        """The whole document of a root, None when there is none."""

    def constant(self, name: str) -> str | None:
        """``CPEWF_TASK_ID`` and allow-listed environment names; None when it is no such name."""

    def env(self, name: str) -> str | None:
        """The value behind ``${workflow.env.NAME}``, None when it is unknown or not allowed."""


class Reader(NamedTuple):
    """One expression without inner ones, ready to be read."""

    render: Render
    reads: frozenset[Read]


@lru_cache(maxsize=4096)
def reader_of(body: str) -> Reader:
    """How to read an expression without inner ones; ``body`` is what stands between its braces. Cached, never raises.

    Example: ``reader_of("charge.output.amount").render(scope)``.
    """
    path = body.strip()
    if not path:
        return Reader(lambda scope: "", frozenset())
    if path.startswith(SECRETS):
        literal = f"${{{body}}}"
        return Reader(lambda scope: literal, frozenset())
    try:
        if path.startswith(_ENV):
            return Reader(_env_reader(*_split_env(path)), frozenset())
        compiled = compile_path(path)
    except PathInvalid:
        return _NULL
    return _path_reader(compiled)


_NULL = Reader(lambda scope: None, frozenset())


def why_unreadable(body: str) -> str | None:
    """Why ``reader_of(body)`` can only give null, or None. Example: ``why_unreadable("a[")``."""
    path = body.strip()
    if not path or path.startswith(SECRETS):
        return None
    try:
        if path.startswith(_ENV):
            _split_env(path)
        elif not _leads_to_root(compile_path(path)):
            return "a path begins with `workflow` or with the reference name of a task"
    except PathInvalid as error:
        return str(error)
    return None


def _path_reader(path: Path) -> Reader:
    if not _leads_to_root(path):
        return _NULL
    heads = [head for head in path.heads if head]
    reads = frozenset(_read_of(head) for head in heads if head[0] not in _CONSTANTS)
    if path.steps is None:
        return Reader(_document_reader(path), reads)
    return Reader(_plain_reader(path.steps), reads)


def _leads_to_root(path: Path) -> bool:
    return bool(path.heads) and () not in path.heads


def _read_of(head: tuple[str, ...]) -> Read:
    return head[0], head[1] if len(head) > 1 else None, head[2] if len(head) > 2 else None


def _plain_reader(steps: tuple[str | int, ...]) -> Render:
    """Nearly every expression: names and indexes only, so the scope is asked for one field and that is walked."""
    root = str(steps[0])
    if len(steps) == 1:
        return lambda scope: _named(scope, root)
    field, rest = steps[1], steps[2:]
    if isinstance(field, int):
        return lambda scope: walk(scope.document(root), (field, *rest))
    if not rest:
        return lambda scope: scope.field(root, field)
    if len(rest) == 1 and isinstance(rest[0], str):
        member = rest[0]

        def read_member(scope: Scope) -> Any:
            value = scope.field(root, field)
            return value.get(member) if isinstance(value, dict) else None

        return read_member
    return lambda scope: walk(scope.field(root, field), rest)


def _named(scope: Scope, name: str) -> Any:
    """A bare name is a constant if the scope knows it as one, otherwise the whole document of a task."""
    constant = scope.constant(name)
    return scope.document(name) if constant is None else constant


def _document_reader(path: Path) -> Render:
    """Any other path reads a document that holds just the roots and fields it can look at."""
    whole = sorted({head[0] for head in path.heads if len(head) == 1})
    fields = sorted({(head[0], head[1]) for head in path.heads if len(head) > 1 and head[0] not in whole})

    def read_document(scope: Scope) -> Any:
        document: dict[str, Any] = {root: scope.document(root) for root in whole}
        for root, field in fields:
            document.setdefault(root, {})[field] = scope.field(root, field)
        return path.read(document)

    return read_document


def _split_env(path: str) -> tuple[str, Path | None]:
    """``workflow.env.NAME.a.b`` is the name and the path into its value. Raises ``PathInvalid``."""
    match = _ENV_NAME.match(path, len(_ENV))
    if match is None:
        raise PathInvalid("workflow.env. needs the name of a variable after it")
    rest = path[match.end() :]
    return match[0], compile_path(f"${rest}") if rest else None


def _env_reader(name: str, path: Path | None) -> Render:
    if path is None:
        return lambda scope: scope.env(name)

    def read_env(scope: Scope) -> Any:
        text = scope.env(name)
        if text is None:
            return None
        try:
            return path.read(json.loads(text, parse_constant=_refuse_constant))
        except (ValueError, RecursionError):  # not JSON, so there is nothing to read in it
            return None

    return read_env


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
