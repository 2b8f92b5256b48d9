"""The stages of a compiled path: each takes the matches so far to the next ones.

A stage's ``advance`` never changes a document and never looks into a text. The meaning is Jayway JsonPath's, which is
not always the standard's: a filter on an object tests the object itself, ``['a', 'b']`` at the end of a path gives an
object, functions follow a dot. Built by the parser in ``jsonpath`` and run by its ``Path``; nobody else calls them.

Why not a JSONPath library: python-jsonpath parses a text as JSON, cuts slices out of texts and takes ``[0]`` of an
object for its key ``"0"``; with filters, functions and names different as well, little of it was left to use. It serves
the tests as the second opinion on everything both understand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from orchestrator.core.jsonpath_filters import Matches, Test
from orchestrator.core.jsonpath_functions import FUNCTIONS, SUMMARIES, FunctionFailed

Steps = tuple[str | int, ...]

_NOTHING = object()


class Stage(Protocol):
    """One stage of a path."""

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """The matches after this stage and whether there can only be one; ``root`` is the document ``$`` means."""


class Walk:
    """Plain steps: a name into an object, an index into a list."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """Drops the matches in which the steps lead nowhere."""
        found = [walk(node, self._steps, _NOTHING) for node in nodes]
        return [node for node in found if node is not _NOTHING], single


class Selection:
    """Any number of members of an object or list: ``*``, ``[0,2]``, ``[1:3]``. ``deep``: of everything below, too."""

    def __init__(self, members: Callable[[Any], list[Any]], deep: bool) -> None:
        self._members = members
        self._deep = deep

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """The selected members, parents before children."""
        if not self._deep:
            return [member for node in nodes for member in self._members(node)], False
        return [member for node in nodes for place in _inside(node) for member in self._members(place)], False


class Filter:
    """Keeps what passes: elements of a list, or an object as a whole. ``deep``: anywhere below, the top included."""

    def __init__(self, test: Test, deep: bool) -> None:
        self._test = test
        self._deep = deep

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """What passes the test. Lists below are only passed through: their elements are tested."""
        if self._deep:
            candidates = (place for node in nodes for place in _inside(node) if not isinstance(place, list))
        else:
            candidates = (element for node in nodes for element in _elements(node))
        return [candidate for candidate in candidates if self._test(candidate, root)], False


class Call:
    """A function. It works on each match; a summary works on all matches together unless every match is a list."""

    def __init__(self, name: str, arguments: list[Matches]) -> None:
        self._function = FUNCTIONS[name]
        self._summarises = name in SUMMARIES
        self._arguments = arguments

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """The results; none when the function cannot work on one of the matches."""
        arguments = [value for argument in self._arguments for value in _values(*argument(root, root))]
        if not single and self._summarises and not (nodes and all(isinstance(node, list) for node in nodes)):
            nodes, single = [nodes], True
        try:
            return [self._function(node, arguments) for node in nodes], single
        except (FunctionFailed, OverflowError):
            return [], single


class Pick:
    """``['a', 'b']`` at the end of a path: an object with those of the members that exist."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def advance(self, nodes: list[Any], single: bool, root: Any) -> tuple[list[Any], bool]:
        """A new object for each match that is an object."""
        objects = [node for node in nodes if isinstance(node, dict)]
        return [{name: node[name] for name in self._names if name in node} for node in objects], single


def walk(value: Any, steps: Steps, missing: Any = None) -> Any:
    """Follow plain steps from ``value``; ``missing`` when a step leads nowhere.

    Example: ``walk({"a": [7]}, ("a", 0))`` is 7.
    """
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return missing
        elif not isinstance(value, list) or not -len(value) <= step < len(value):
            return missing
        value = value[step]
    return value


def every_member(node: Any) -> list[Any]:
    """What ``*`` selects: the values of an object, the elements of a list. Example: ``every_member({"a": 1})``."""
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def members_named(steps: Steps) -> Callable[[Any], list[Any]]:
    """What a union selects, in its order. Example: ``members_named((2, 0))([1, 2, 3])`` is ``[3, 1]``."""

    def members(node: Any) -> list[Any]:
        found = [walk(node, (step,), _NOTHING) for step in steps]
        return [member for member in found if member is not _NOTHING]

    return members


def members_between(bounds: slice) -> Callable[[Any], list[Any]]:
    """What a slice selects, of lists only. Example: ``members_between(slice(1, None))([1, 2])`` is ``[2]``."""
    return lambda node: node[bounds] if isinstance(node, list) else []


def _values(matches: list[Any], single: bool) -> list[Any]:
    """An argument: the value of a definite path, if there is one; the list of matches of any other."""
    return matches if single else [matches]


def _elements(node: Any) -> list[Any]:
    if isinstance(node, list):
        return node
    return [node] if isinstance(node, dict) else []


def _inside(node: Any) -> Iterator[Any]:
    """The node and everything below it, parents first. A stack instead of recursion: any depth will do."""
    pending = [node]
    while pending:
        place = pending.pop()
        yield place
        pending.extend(reversed(every_member(place)))
