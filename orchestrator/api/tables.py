"""Every route there is, from the tables of the nouns. Read by ``app``; order says nothing."""

from __future__ import annotations

from orchestrator.api import documentation, health, metadata, schedules, search
from orchestrator.api.routes import Route

ROUTES: tuple[Route, ...] = (
    *documentation.ROUTES,
    *health.ROUTES,
    *metadata.ROUTES,
    *search.ROUTES,
    *schedules.ROUTES,
)
