"""Finds the ``${...}`` expressions of a definition's texts and the task each of them names; evaluates nothing.

Registration needs only "which references does this definition speak of", long before there is anything to read, so
this is a scanner and not the expression language: that stands in the core, one floor up. Called by ``validation``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_VALUE_DEPTH_MAX = 100
_NESTING_MAX = 20
_TOKEN = re.compile(r"\$?\$\{|[{}]")
_ROOT = re.compile(r"(?:\$\s*\.?\s*)?(?:\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]|([^.\[\]()\s$*?@]+))")


def expressions(text: str) -> Iterator[str]:
    """The body of every ``${...}`` in ``text``, outermost first, then those nested in it.

    Braces must balance; ``$${`` is an escape and an unbalanced ``${`` is plain text.
    Example: ``list(expressions("a ${b.c[${d.e}]}")) == ["b.c[${d.e}]", "d.e"]``
    """
    return (text[start + 2 : end] for start, end in _spans(text))


def text_values(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text inside a JSON-like value that substitution would look at: values of maps and lists, never keys."""
    if isinstance(value, str):
        yield value
    elif depth < _VALUE_DEPTH_MAX and isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from text_values(item, depth + 1)


def root_of(body: str) -> str | None:
    """The first step of an expression's path: ``workflow`` or a reference name.

    None when it cannot be known before run time (nested expression in the first step) or there is none (blank,
    wildcard). Example: ``root_of("charge.output.amount") == "charge"``
    """
    stripped = body.strip()
    match = None if stripped.startswith("${") else _ROOT.match(stripped)
    if match is None or stripped[match.end() :].startswith("${"):
        return None
    return next(group for group in match.groups() if group is not None)


def is_whole_expression(text: str) -> bool:
    """Whether ``text`` is one single ``${...}`` and nothing else. Example: ``is_whole_expression("${a.b}")``."""
    return (0, len(text) - 1) in _spans(text)


def has_expression(value: Any) -> bool:
    """Whether ``value`` is text with at least one expression in it, so that its real value is known only later."""
    return isinstance(value, str) and bool(_spans(value))


def _spans(text: str) -> list[tuple[int, int]]:
    """Start of ``${`` and place of the closing brace of every expression, in order of start.

    One pass with a stack: searching the closing brace of each opening one separately would take quadratic time on a
    text made of nothing but openings.
    """
    found: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    for token in _TOKEN.finditer(text) if "${" in text else ():
        if token.group() != "}":
            opened.append((token.group(), token.start()))
        elif opened:
            opening, start = opened.pop()
            if opening == "$${":
                # An escaped expression is emitted as written, so what it contains is not evaluated either.
                while found and found[-1][0] > start:
                    found.pop()
            elif opening == "${" and len(opened) < _NESTING_MAX:
                found.append((start, token.start()))
    return sorted(found)
