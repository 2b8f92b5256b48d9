"""From a method and the segments of a path to a route. A word in a route goes before a place for any value.

Segments are compared after they were decoded one by one, so a value may hold a slash. Called by ``app``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from orchestrator.api.errors import Refused
from orchestrator.api.routes import Route


class _Node:
    __slots__ = ("any_value", "routes", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.any_value: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """All routes, as a tree of their segments.

    Example: ``Router(ROUTES).find("GET", ["metadata", "workflow", "order"])``
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.segments:
                if segment.startswith("{"):
                    node.any_value = node.any_value or _Node()
                    node = node.any_value
                else:
                    node = node.words.setdefault(segment, _Node())
            if route.method in node.routes:
                raise ValueError(f"{route.method} {route.path} is declared twice")
            node.routes[route.method] = route

    def find(self, method: str, segments: Sequence[str]) -> tuple[Route, list[str]]:
        """The route and the values in its path. Raises ``Refused``: 404, or 405 with what is allowed."""
        allowed: set[str] = set()
        for node, values in _matches(self._root, segments):
            found = node.routes.get(method)
            if found is not None:
                return found, values
            allowed.update(node.routes)
        if allowed:
            names = ", ".join(sorted(allowed))
            raise Refused(405, f"Request method '{method}' is not supported here; use {names}", {"allow": names})
        raise Refused(404, f"No such resource: {'/'.join(segments)[:200]}; all there are: GET /api-docs")


def _matches(node: _Node, segments: Sequence[str]) -> Iterator[tuple[_Node, list[str]]]:
    if not segments:
        yield node, []
        return
    first, rest = segments[0], segments[1:]
    word = node.words.get(first)
    if word is not None:
        yield from _matches(word, rest)
    if node.any_value is not None:
        for found, values in _matches(node.any_value, rest):
            yield found, [first, *values]


def segments_of(scope: dict[str, Any]) -> list[str]:
    """The decoded segments of a request's path below where the app is mounted, with or without ``/api`` in front.

    Raises ``Refused`` for a path that is no text.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    raw = raw.partition(b"?")[0]
    raw = raw.removeprefix(quote(scope.get("root_path", "")).encode())
    try:
        found = [unquote_to_bytes(part).decode() for part in raw.split(b"/") if part]
    except UnicodeDecodeError:
        raise Refused(400, "the path is not UTF-8 text") from None
    return found[1:] if found[:1] == ["api"] else found
