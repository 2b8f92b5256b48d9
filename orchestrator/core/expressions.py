"""``${...}`` expressions inside definitions: compiled once, rendered for every task that is scheduled.

The grammar is Conductor's. An expression is ``${`` to its balancing ``}``; ``$${`` is an escape for a literal ``${``;
inner expressions are substituted first, as text; a text that is exactly one expression becomes the raw value, any other
is filled in as text. What is missing is null. Only values are substituted, never the keys of objects.

Ours on purpose: objects and lists inside a text are compact JSON, and environment names resolve only where the
``Scope`` allows them. ``${workflow.secrets.X}`` stays as it is written: secrets never enter stored input.

This room reads documents only through the ``Scope`` it is given and never changes them: a rendered value may be the
very object of the document or of the definition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from orchestrator.core.expression_readers import SECRETS, Read, Render, Scope, reader_of, why_unreadable

__all__ = ["Scope", "Template", "check_expression", "compile_template", "expressions_in", "render_text"]

DEPTH_MAX = 100

_TO_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Template:
    """A JSON value with its expressions compiled; make it with ``compile_template``.

    ``reads``: what rendering asks the scope for, as (root, field, member). No field: the whole document. No member:
    all of the field. ``${charge.output.amount}`` reads ``("charge", "output", "amount")``.
    ``dynamic``: a path is only known once its inner expressions are substituted; ``reads`` holds what is known.
    ``is_constant``: there is nothing to substitute, so rendering gives the value itself.
    """

    __slots__ = ("_render", "dynamic", "is_constant", "reads")

    def __init__(self, value: Any) -> None:
        found = _Found()
        render = _compile_value(value, found, 0)
        self._render: Render = render or (lambda scope: value)
        self.is_constant: bool = render is None
        self.reads: frozenset[Read] = frozenset(found.reads)
        self.dynamic: bool = found.dynamic

    def render(self, scope: Scope) -> Any:
        """The value with every expression substituted. Never raises for what the documents hold."""
        return self._render(scope)


class _Found:
    """What compiling met on its way."""

    def __init__(self) -> None:
        self.reads: set[Read] = set()
        self.dynamic = False


def compile_template(value: Any) -> Template:
    """Compile input parameters, output parameters or any other JSON value.

    Raises ``ValueError`` when it nests deeper than 100.
    Example: ``compile_template({"sku": "${workflow.input.sku}"}).render(scope)``.
    """
    return Template(value)


def render_text(text: str, scope: Scope) -> Any:
    """Substitute one text, such as the sink of an EVENT task. Raises ``ValueError`` when it nests deeper than 100.

    Example: ``render_text("orders-${workflow.input.region}", scope)``.
    """
    return _text_template(text).render(scope)


def expressions_in(value: Any) -> Iterator[tuple[str, str]]:
    """Each outermost expression of a JSON value: the place, and what stands between the braces.

    Raises ``ValueError`` when it nests deeper than 100.
    Example: ``{"a": [1, "${x.output}"]}`` yields ``("a[1]", "x.output")``.
    """
    return _expressions_in(value, "", 0)


def check_expression(body: str) -> str | None:
    """Why an expression cannot be read, or None if it can. ``body`` is what stands between the braces.

    A path with inner expressions is only known when it is rendered; of it, the inner ones are checked.
    Example: ``check_expression("charge.output[")`` says that the bracket is never closed.
    """
    unchecked = [(body, 0)]
    while unchecked:
        text, depth = unchecked.pop()
        inner = [expression for is_expression, expression in _split(text) if is_expression]
        if depth > DEPTH_MAX:
            return f"expressions may nest {DEPTH_MAX} deep"
        reason = None if inner else why_unreadable(text)
        if reason:
            return reason
        unchecked.extend((expression, depth + 1) for expression in inner)
    return None


# --- values -----------------------------------------------------------------------------------------------------------


def _compile_value(value: Any, found: _Found, depth: int) -> Render | None:
    """How to render the value; None when there is nothing to substitute in it."""
    if isinstance(value, str):
        return _compile_text(value, found, depth) if "${" in value else None
    if not isinstance(value, (dict, list, tuple)):
        return None
    _check_depth(depth)
    members = value.items() if isinstance(value, dict) else enumerate(value)
    compiled = ((key, _compile_value(member, found, depth + 1)) for key, member in members)
    parts = [(key, render) for key, render in compiled if render is not None]
    if not parts:
        return None
    frame: Any = dict(value) if isinstance(value, dict) else list(value)

    def render_members(scope: Scope) -> Any:
        rendered = frame.copy()
        for key, render in parts:
            rendered[key] = render(scope)
        return rendered

    return render_members


def _check_depth(depth: int) -> None:
    if depth >= DEPTH_MAX:
        raise ValueError(f"a template may nest {DEPTH_MAX} deep, this one goes deeper")


def _expressions_in(value: Any, place: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for is_expression, text in _split(value):
            if is_expression:
                yield place, text
        return
    if not isinstance(value, (dict, list, tuple)):
        return
    _check_depth(depth)
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _expressions_in(member, f"{place}.{key}" if place else str(key), depth + 1)
    else:
        for index, member in enumerate(value):
            yield from _expressions_in(member, f"{place}[{index}]", depth + 1)


# --- texts ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _text_template(text: str) -> Template:
    return Template(text)


def _split(text: str) -> list[tuple[bool, str]]:
    """Cut a text into literal pieces (False) and the bodies of its outermost expressions (True), in order."""
    if "${" not in text:
        return [(False, text)] if text else []
    closing = _closing_braces(text)
    pieces: list[tuple[bool, str]] = []
    begin = 0
    at = text.find("${")
    while at >= 0:
        end = closing.get(at + 1)
        is_escaped = at > 0 and text[at - 1] == "$"
        if end is None or is_escaped:
            at = text.find("${", at + 2)
            continue
        if at > begin:
            pieces.append((False, text[begin:at]))
        pieces.append((True, text[at + 2 : end]))
        begin = end + 1
        at = text.find("${", begin)
    if begin < len(text):
        pieces.append((False, text[begin:]))
    return pieces


def _closing_braces(text: str) -> dict[int, int]:
    """For each opening brace that is balanced, where it closes. One pass, so that hostile texts cost no more."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            closing[opened.pop()] = match.start()
    return closing


def _compile_text(text: str, found: _Found, depth: int) -> Render | None:
    pieces = _split(text)
    if len(pieces) == 1 and pieces[0][0]:
        return None if _is_secret(pieces[0][1]) else _compile_expression(pieces[0][1], found, depth)
    if any(is_expression and not _is_secret(piece) for is_expression, piece in pieces):
        return _compile_pieces(pieces, found, depth)
    unescaped = text.replace("$${", "${")
    return None if unescaped == text else lambda scope: unescaped


def _compile_pieces(pieces: list[tuple[bool, str]], found: _Found, depth: int) -> Callable[[Scope], str]:
    """Literal pieces and expressions joined as text. Escapes are undone last, also in what was filled in."""
    parts: list[str | Render] = []
    for is_expression, piece in pieces:
        if not is_expression:
            parts.append(piece)
        elif _is_secret(piece):
            parts.append(f"${{{piece}}}")
        else:
            parts.append(_compile_expression(piece, found, depth))

    def render_pieces(scope: Scope) -> str:
        text = "".join([part if isinstance(part, str) else _as_text(part(scope)) for part in parts])
        return text.replace("$${", "${") if "$${" in text else text

    return render_pieces


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _TO_JSON(value)


# --- expressions ------------------------------------------------------------------------------------------------------


def _is_secret(body: str) -> bool:
    return body.lstrip().startswith(SECRETS) and "${" not in body


def _compile_expression(body: str, found: _Found, depth: int) -> Render:
    pieces = _split(body)
    if not any(is_expression for is_expression, _ in pieces):
        reader = reader_of(body)
        found.reads |= reader.reads
        return reader.render
    _check_depth(depth)
    found.dynamic = True
    found.reads |= _reads_of_beginning(pieces[0])
    path = _compile_pieces(pieces, found, depth + 1)
    return lambda scope: reader_of(path(scope)).render(scope)


def _reads_of_beginning(piece: tuple[bool, str]) -> frozenset[Read]:
    """What is known of a path from its literal beginning: ``order.output.items[`` reads the items of the order."""
    is_expression, text = piece
    if is_expression:
        return frozenset()
    filter_at = text.find("[?")
    end = filter_at if filter_at >= 0 else max(text.rfind("."), text.rfind("["))
    return reader_of(text[:end]).reads if end > 0 else frozenset()
