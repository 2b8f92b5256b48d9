"""Reading the characters of a JSONPath: closing brackets, quoted names, literals.

The rooms above (``jsonpath`` for paths, ``jsonpath_filters`` for ``[?(...)]``) share these few scanners, so that a
bracket inside quotes or inside a regular expression means the same to both. Everything here is linear in the length
of the text and knows nothing about documents.
"""

from __future__ import annotations

import json
import re
from typing import Any

PATH_CHARS_MAX = 10_000

_CLOSER = {"[": "]", "(": ")"}
_QUOTES = "'\""
_NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NESTING_MAX = 20
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class PathInvalid(ValueError):
    """The text is not a JSONPath of the dialect; the message says where and why.

    Example: ``compile_path("a[")`` raises ``PathInvalid("'[' at 1 is never closed")``.
    """


def end_of_quoted(text: str, start: int) -> int:
    """Index of the character that closes what opens at ``start``: a quote, or the ``/`` of a regular expression.

    Raises ``PathInvalid`` when it is never closed. Example: ``end_of_quoted("'a' == 1", 0)`` is 2.
    """
    mark = text[start]
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == mark:
            return at
        else:
            at += 1
    raise PathInvalid(f"{mark} at {start} is never closed")


def end_of_bracket(text: str, start: int) -> int:
    """Index of the bracket that closes the one at ``start``; quotes and regular expressions inside are skipped.

    Raises ``PathInvalid`` when it is never closed. Example: ``end_of_bracket("[?(@.a == ']')]", 0)`` is 14.
    """
    expected: list[str] = []
    at = start
    while at < len(text):
        char = text[at]
        if char in _QUOTES or (char == "/" and text[:at].rstrip().endswith("=~")):
            at = end_of_quoted(text, at)
        elif char in _CLOSER:
            expected.append(_CLOSER[char])
        elif char in "])":
            if char != expected.pop():
                raise PathInvalid(f"{char!r} at {at} closes nothing")
            if not expected:
                return at
        at += 1
    raise PathInvalid(f"{text[start]!r} at {start} is never closed")


def split_list(text: str) -> list[str]:
    """Split at the commas that are outside quotes and brackets; the parts come back stripped.

    Example: ``split_list("'a,b', 2")`` is ``["'a,b'", "2"]``; an empty text has no parts.
    """
    if not text.strip():
        return []
    parts: list[str] = []
    begin = at = depth = 0
    while at < len(text):
        char = text[at]
        if char in _QUOTES:
            at = end_of_quoted(text, at)
        elif char in "[({":
            depth += 1
        elif char in "])}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    parts.append(text[begin:].strip())
    return parts


def is_quoted(text: str) -> bool:
    """Whether the whole text is one quoted string. Example: ``is_quoted("'a'")``."""
    return len(text) > 1 and text[0] in _QUOTES and end_of_quoted(text, 0) == len(text) - 1


def read_literal(text: str, depth: int = 0) -> Any:
    """The value of a literal: a string in either quote, a number, ``true``, ``false``, ``null``, a list, a JSON object.

    Raises ``PathInvalid`` for anything else. Example: ``read_literal("['a', 2]")`` is ``["a", 2]``.
    """
    if text in _WORDS:
        return _WORDS[text]
    if is_quoted(text):
        return _ESCAPE.sub(_unescaped, text[1:-1])
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if text.startswith("[") and text.endswith("]") and depth < _NESTING_MAX:
        return [read_literal(part, depth + 1) for part in split_list(text[1:-1])]
    if text.startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PathInvalid(f"{text[:40]!r} is not a JSON object") from error
    raise PathInvalid(f"{text[:40]!r} is not a literal (texts need quotes)")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)
