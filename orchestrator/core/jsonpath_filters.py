"""Filters of a path, ``[?(@.qty > 1 && @.sku in ['a', 'b'])]``: parsed once into one test of a candidate.

The operators and their coercions are Jayway JsonPath's: ``'2' == 2`` holds, a missing value equals nothing, orderings
hold only between numbers and texts. This room never walks documents itself: paths inside a filter are compiled and
read by ``jsonpath``, its only caller, through the function handed to ``FilterParser``.

``&&`` binds tighter than ``||`` and ``!`` tighter than both, as everywhere else. (Jayway groups from the right and
ignores ``!`` before a parenthesis, which no definition can mean.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from orchestrator.core.jsonpath_comparisons import MISSING, OPERATORS
from orchestrator.core.jsonpath_patterns import Pattern
from orchestrator.core.jsonpath_text import PathInvalid, end_of_bracket, end_of_quoted, read_literal

NESTING_MAX = 20

Test = Callable[[Any, Any], bool]  # (candidate, whole document) -> does it pass
# (candidate, whole document) -> what a path inside the filter leads to, and whether that can only be one value
Matches = Callable[[Any, Any], tuple[list[Any], bool]]

_OPERATOR = re.compile(r"===|!==|==|!=|<=|>=|=~|<|>|[A-Za-z]+")
_PATH_ENDS = frozenset(" \t\r\n)<>=!&|,]")


class FilterParser:
    """One pass over the text between ``[?`` and ``]``. ``compile_path`` turns ``@...`` and ``$...`` into readers."""

    def __init__(self, text: str, compile_path: Callable[[str], Matches]) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._compile_path = compile_path

    def parse(self) -> Test:
        """The test the text stands for. Raises ``PathInvalid`` when it is not a filter."""
        test = self._either()
        if self._rest():
            raise PathInvalid(f"unexpected {self._rest()[:20]!r} in the filter {self._text[:80]!r}")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._skip("||"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda node, root: any(test(node, root) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._skip("&&"):
            tests.append(self._single())
        return tests[0] if len(tests) == 1 else lambda node, root: all(test(node, root) for test in tests)

    def _single(self) -> Test:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise PathInvalid(f"the filter nests deeper than {NESTING_MAX}")
        test = self._negated_or_grouped()
        self._depth -= 1
        return test

    def _negated_or_grouped(self) -> Test:
        if self._skip("!"):
            inner = self._single()
            return lambda node, root: not inner(node, root)
        if self._skip("("):
            grouped = self._either()
            if not self._skip(")"):
                raise PathInvalid(f"a parenthesis is not closed in the filter {self._text[:80]!r}")
            return grouped
        return self._comparison()

    def _comparison(self) -> Test:
        rest = self._rest()
        if rest[:1] in ("@", "$"):
            matches = self._path()
            if self._rest()[:2] in ("", "&&", "||") or self._rest().startswith(")"):
                return lambda node, root: bool(matches(node, root)[0])
            left = _value_of(matches)
        else:
            left = self._literal()
        return self._operation(left)

    def _operation(self, left: Callable[[Any, Any], Any]) -> Test:
        match = _OPERATOR.match(self._rest())
        operator = match[0].lower() if match else ""
        self._at += len(operator)
        if operator == "=~":
            pattern = self._pattern()
            return lambda node, root: pattern.fits(left(node, root))
        holds = OPERATORS.get(operator)
        if holds is None:
            raise PathInvalid(f"{operator or self._rest()[:10]!r} is no operator in the filter {self._text[:80]!r}")
        right = _value_of(self._path()) if self._rest()[:1] in ("@", "$") else self._literal()
        return lambda node, root: holds(left(node, root), right(node, root))

    def _path(self) -> Matches:
        self._rest()
        begin, at = self._at, self._at + 1
        while at < len(self._text) and self._text[at] not in _PATH_ENDS:
            at = end_of_bracket(self._text, at) + 1 if self._text[at] in "[(" else at + 1
        self._at = at
        return self._compile_path(self._text[begin:at])

    def _literal(self) -> Callable[[Any, Any], Any]:
        rest = self._rest()
        if rest[:1] in ("'", '"'):
            length = end_of_quoted(rest, 0) + 1
        elif rest[:1] == "[":
            length = end_of_bracket(rest, 0) + 1
        elif rest[:1] == "{":
            length = _end_of_object(rest)
        else:
            word = re.match(r"[-+.\w]+", rest)
            length = len(word[0]) if word else 0
        value = read_literal(rest[:length])
        self._at += length
        return lambda node, root: value

    def _pattern(self) -> Pattern:
        rest = self._rest()
        if rest[:1] != "/":
            raise PathInvalid("=~ needs a regular expression between slashes")
        end = end_of_quoted(rest, 0)
        letters = re.match(r"[a-zA-Z]*", rest[end + 1 :])
        flags = letters[0] if letters else ""
        self._at += end + 1 + len(flags)
        return Pattern(rest[1:end], flags)

    def _rest(self) -> str:
        """What is still unread, from the next character that is not blank."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at :]

    def _skip(self, token: str) -> bool:
        found = self._rest().startswith(token)
        if found:
            self._at += len(token)
        return found


def _value_of(matches: Matches) -> Callable[[Any, Any], Any]:
    """A path as an operand: the one value of a definite path or ``MISSING``, the list of matches of any other."""

    def value(node: Any, root: Any) -> Any:
        found, single = matches(node, root)
        if not single:
            return found
        return found[0] if found else MISSING

    return value


def _end_of_object(text: str) -> int:
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise PathInvalid(f"{text[:20]!r} is not a JSON object") from error
    return end
