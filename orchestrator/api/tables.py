"""Every route there is, from the tables of the nouns. Read by ``app``; order says nothing."""

from __future__ import annotations

from orchestrator.api import (
    access,
    admin,
    bulk,
    documentation,
    events,
    externals,
    health,
    metadata,
    rq,
    schedules,
    schemas,
    search,
    secrets,
    tags,
    tasks,
    verbs,
    webhooks,
    workers,
    workflows,
)
from orchestrator.api.routes import Route

ROUTES: tuple[Route, ...] = (
    *access.ROUTES,
    *bulk.ROUTES,
    *documentation.ROUTES,
    *health.ROUTES,
    *metadata.ROUTES,
    *schedules.ROUTES,
    *search.ROUTES,
    *tasks.ROUTES,
    *workflows.ROUTES,
    *tags.ROUTES,
    *events.ROUTES,
    *webhooks.ROUTES,
    *externals.ROUTES,
    *rq.ROUTES,
    *secrets.ROUTES,
    *schemas.ROUTES,
    *workers.ROUTES,
    *admin.ROUTES,
    *verbs.ROUTES,
)
