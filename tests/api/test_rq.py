"""What RQ's webhook tells over HTTP: with its proof the job is looked at now, without it nothing happens."""

from __future__ import annotations

from orchestrator.api import create_app
from orchestrator.plan import Command
from orchestrator.service import rq_jobs
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.store.rq_jobs import Outstanding
from tests.api.conftest import caller_of

TASK = "01a21c47-51e0-8000-b8bd-50629ecaa97d-mftigq6677zg"


async def test_a_word_of_rq_s_webhook_counts_with_the_job_s_proof_only(fakeredis_url: str) -> None:
    settings = Settings(redis_url=fakeredis_url, webhook_secret="s3cret")
    store, app = StoreContext(settings), create_app(settings=settings)
    executor = connect(settings=settings).sync()
    executor.run(rq_jobs.put(store, Outstanding(TASK, "default"), 60_000))
    due = Command(("ZSCORE", store.keys.rq_due(), TASK))
    async with app.router.lifespan_context(app), caller_of(app) as http:
        proof = rq_jobs.proof_of(settings, TASK) or ""
        for forged in ({}, {rq_jobs.PROOF_HEADER: "0" * 64}, {rq_jobs.PROOF_HEADER: proof[:-1]}):
            assert (await http.post(f"/rq/{TASK}", json={"status": "finished"}, headers=forged)).status_code == 401
        assert executor.do(due) != b"0"
        assert (
            await http.post(f"/rq/{TASK}", content=b"\xff", headers={rq_jobs.PROOF_HEADER: proof})
        ).status_code == 200
        assert executor.do(due) == b"0"


async def test_without_a_secret_every_word_is_refused(fakeredis_url: str) -> None:
    app = create_app(fakeredis_url)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        assert (await http.post(f"/rq/{TASK}", headers={rq_jobs.PROOF_HEADER: ""})).status_code == 401
