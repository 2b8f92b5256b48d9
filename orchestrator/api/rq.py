"""What RQ's workers tell over HTTP: a job has ended, look at it now. The job's own secret header proves it.

Nothing in the body is believed: RQ's record is what counts. A message that is forged is refused, one that is repeated
costs a look.
"""

from __future__ import annotations

from orchestrator.api.routes import Role, Route
from orchestrator.api.visits import Visit
from orchestrator.service import rq_jobs


async def ended(visit: Visit, task_id: str) -> None:
    """Look at once at the RQ job of a task, on the word of RQ's webhook."""
    proof = visit.http.headers.get(rq_jobs.PROOF_HEADER, "")
    await visit.run(rq_jobs.hurry(visit.store, task_id, proof))


ROUTES = (Route("POST", "/rq/{task_id}", ended, Role.OPEN),)
