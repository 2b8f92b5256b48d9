"""The API describes itself: as OpenAPI for programs, as a page for people."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orchestrator
from orchestrator.api.openapi import description
from orchestrator.api.routes import Html, Role, Route
from orchestrator.api.visits import Visit


async def openapi(visit: Visit) -> dict[str, Any]:
    """This description, as OpenAPI 3.1."""
    root = visit.http.scope.get("root_path", "")
    return description(visit.routes, f"{root}/api", orchestrator.__version__)


async def page(_: Visit) -> Html:
    """A page to look through all operations and to try them out."""
    return _page()


@cache
def _page() -> Html:
    return Html(files("orchestrator.api").joinpath("page.html").read_text("utf-8"))


ROUTES = (
    Route("GET", "/api-docs", openapi, Role.OPEN),
    Route("GET", "/docs", page, Role.OPEN),
)
