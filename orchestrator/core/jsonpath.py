"""Reading values out of documents with JSONPath, in the dialect that Conductor's definitions use (Jayway JsonPath).

``compile_path(text).read(document)`` is the whole interface; ``expressions`` is the main caller. A path is cut into
stages, each from one list of matches to the next:

* plain names and indexes (``a.b[0]``, ``a['x y'].b``) are walked directly: nearly every path is only that;
* wildcards, deep scans, slices, unions, filters and functions are the stages of ``jsonpath_stages``.

Reading never raises and never changes a document: what cannot be read is not there. A definite path gives its one
value or None, any other path the list of its matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from orchestrator.core.jsonpath_filters import FilterParser, Matches
from orchestrator.core.jsonpath_functions import FUNCTIONS
from orchestrator.core.jsonpath_stages import (
    Call,
    Filter,
    Pick,
    Selection,
    Stage,
    Steps,
    Walk,
    every_member,
    members_between,
    members_named,
    walk,
)
from orchestrator.core.jsonpath_text import (
    PATH_CHARS_MAX,
    PathInvalid,
    end_of_bracket,
    is_quoted,
    read_literal,
    split_list,
)

__all__ = ["Path", "PathInvalid", "compile_path", "walk"]

STEPS_MAX = 100

_NAME = re.compile(r"[^.\[\]()\s]+")
_INDEX = re.compile(r"-?[0-9]{1,9}")
_INDEXES = re.compile(r"-?[0-9]{1,9}(\s*,\s*-?[0-9]{1,9})+")
_SLICE = re.compile(r"(-?[0-9]{1,9})?\s*:\s*(-?[0-9]{1,9})?(\s*:\s*(-?[0-9]{1,9})?)?")


class Path:
    """A compiled path; make it with ``compile_path``.

    ``definite``: it leads to one place at most, so ``read`` gives a value and not a list. (Of the other paths only
    those with a summary, ``items[*].price.sum()``, give a value.)
    ``steps``: the whole path if it is only names and indexes, else None; with ``walk`` callers can skip the rest.
    ``heads``: for this path and each ``$`` path in its filters and arguments (those are the ``other_heads``), up to
    three leading names. An empty head means that all of the document is looked at.
    """

    __slots__ = ("_stages", "definite", "heads", "other_heads", "steps")

    def __init__(self, parser: _PathParser) -> None:
        self._stages = parser.stages
        self.definite: bool = parser.definite
        self.steps: Steps | None = parser.plain_steps
        self.other_heads: frozenset[tuple[str, ...]] = frozenset(parser.other_heads)
        self.heads: frozenset[tuple[str, ...]] = self.other_heads | {tuple(parser.head[:3])}

    def read(self, document: Any) -> Any:
        """The value (None when missing) of a definite path, the list of matches of any other.

        Example: ``compile_path("a[*].b").read({"a": [{"b": 1}, {}]})`` is ``[1]``.
        """
        if self.steps is not None:
            return walk(document, self.steps)
        nodes, single = self.matches(document, document)
        if single:
            return nodes[0] if nodes else None
        return nodes

    def matches(self, node: Any, root: Any) -> tuple[list[Any], bool]:
        """What the path leads to from ``node``, and whether that can only be one value; ``$`` is ``root``."""
        nodes, single = [node], True
        try:
            for stage in self._stages:
                nodes, single = stage.advance(nodes, single, root)
        except RecursionError:  # two deeply nested values were compared; no stored document nests that deep
            return [], self.definite
        return nodes, single


@lru_cache(maxsize=4096)
def compile_path(path: str) -> Path:
    """Compile a JSONPath; a leading ``$.`` may be left out. Cached.

    Raises ``PathInvalid`` when the text is no path of the dialect. Example: ``compile_path("charge.output.items[0]")``.
    """
    text = path.strip()
    if len(text) > PATH_CHARS_MAX:
        raise PathInvalid(f"the path has {len(text)} characters, {PATH_CHARS_MAX} are allowed")
    if not text:
        raise PathInvalid("the path is empty")
    if text[0] != "$":
        text = "$" + text if text[0] in ".[" else "$." + text
    try:
        return Path(_PathParser(text))
    except RecursionError as error:
        raise PathInvalid("the path nests too deep") from error


class _PathParser:
    """Cuts the text of a path, which begins with ``$``, into stages."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 1
        self._plain: list[str | int] = []  # names and indexes that no stage holds yet
        self._head_open = True  # only names were met so far
        self._picked = False
        self.stages: list[Stage] = []
        self.definite = True
        self.head: list[str] = []
        self.other_heads: set[tuple[str, ...]] = set()
        self._read_steps()
        self.plain_steps = None if self.stages else tuple(self._plain)
        self._flush()

    def _read_steps(self) -> None:
        steps = 0
        while self._at < len(self._text):
            steps += 1
            if steps > STEPS_MAX:
                raise PathInvalid(f"the path has more than {STEPS_MAX} steps")
            if self._picked:
                raise PathInvalid("a list of names can only be the end of a path")
            self._step()

    def _step(self) -> None:
        deep = self._text.startswith("..", self._at)
        dotted = deep or self._text[self._at] == "."
        self._at += 2 if deep else 1 if dotted else 0
        if self._at == len(self._text):
            raise PathInvalid("the path ends with a dot")
        if self._text[self._at] == "[":
            end = end_of_bracket(self._text, self._at)
            inner = self._text[self._at + 1 : end].strip()
            self._at = end + 1
            self._bracket(inner, deep)
        elif dotted:
            self._name(deep)
        else:
            raise PathInvalid(f"expected '.' or '[' at {self._at} but found {self._text[self._at]!r}")

    def _name(self, deep: bool) -> None:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise PathInvalid(f"expected a name at {self._at} but found {self._text[self._at]!r}")
        self._at = match.end()
        name = match[0]
        following = self._text[self._at : self._at + 1]
        if following == "(":
            end = end_of_bracket(self._text, self._at)
            arguments = self._text[self._at + 1 : end]
            self._at = end + 1
            self._call(name, arguments, deep)
        elif following.isspace():
            raise PathInvalid(f"names with spaces need brackets and quotes: ['{name} ...']")
        elif name == "*":
            self._select(every_member, deep)
        else:
            self._take(name, deep)

    def _bracket(self, inner: str, deep: bool) -> None:
        if inner == "*":
            self._select(every_member, deep)
        elif _SLICE.fullmatch(inner):
            self._select(members_between(_slice_of(inner)), deep)
        elif _INDEXES.fullmatch(inner):
            self._select(members_named(tuple(map(int, inner.split(",")))), deep)
        elif _INDEX.fullmatch(inner):
            self._take(int(inner), deep)
        elif inner.startswith("?"):
            self._filter(inner[1:].strip(), deep)
        else:
            parts = split_list(inner)
            if not parts or not all(map(is_quoted, parts)):
                raise PathInvalid(f"[{inner}] is neither a quoted name, an index, a slice, a filter nor *")
            self._names([read_literal(part) for part in parts], deep)

    def _names(self, names: list[str], deep: bool) -> None:
        if len(names) == 1:
            self._take(names[0], deep)
        elif deep or self._at < len(self._text):
            self._select(members_named(tuple(names)), deep)
        else:
            self._flush()
            self.stages.append(Pick(names))
            self._picked = True

    def _take(self, step: str | int, deep: bool) -> None:
        if deep:
            self._select(members_named((step,)), deep)
            return
        self._plain.append(step)
        if self._head_open and isinstance(step, str):
            self.head.append(step)
        else:
            self._head_open = False

    def _select(self, members: Callable[[Any], list[Any]], deep: bool) -> None:
        self._flush()
        self.stages.append(Selection(members, deep))
        self._not_definite()

    def _filter(self, text: str, deep: bool) -> None:
        self._flush()
        self.stages.append(Filter(FilterParser(text, self._inner_path).parse(), deep))
        self._not_definite()

    def _call(self, name: str, arguments: str, deep: bool) -> None:
        if name not in FUNCTIONS or deep:
            raise PathInvalid(f"there is no function {name!r} here; known are {', '.join(sorted(FUNCTIONS))}")
        self._flush()
        self.stages.append(Call(name, [self._argument(part) for part in split_list(arguments)]))
        self._head_open = False

    def _argument(self, text: str) -> Matches:
        if text.startswith("$"):
            return self._inner_path(text)
        value = read_literal(text)
        return lambda node, root: ([value], True)

    def _inner_path(self, text: str) -> Matches:
        """A path inside a filter or an argument: ``@`` reads from the candidate, ``$`` from the whole document."""
        path = compile_path("$" + text[1:])
        if text.startswith("@"):
            self.other_heads |= path.other_heads
            return path.matches
        self.other_heads |= path.heads
        return lambda node, root: path.matches(root, root)

    def _not_definite(self) -> None:
        self.definite = False
        self._head_open = False

    def _flush(self) -> None:
        if self._plain:
            self.stages.append(Walk(tuple(self._plain)))
            self._plain.clear()


def _slice_of(text: str) -> slice:
    bounds = [int(part) if part.strip() else None for part in text.split(":")]
    if bounds[2:] == [0]:
        raise PathInvalid(f"[{text}] steps by nothing")
    return slice(*bounds)
