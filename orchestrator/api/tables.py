"""Every route there is, from the tables of the nouns. Read by ``app``; order says nothing."""

from __future__ import annotations

from orchestrator.api import bulk, documentation, health, metadata, schedules, search, tasks, workflows
from orchestrator.api.routes import Route

ROUTES: tuple[Route, ...] = (
    *documentation.ROUTES,
    *health.ROUTES,
    *metadata.ROUTES,
    *search.ROUTES,
    *workflows.ROUTES,
    *bulk.ROUTES,
    *schedules.ROUTES,
    *tasks.ROUTES,
)
