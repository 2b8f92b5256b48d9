"""The jobs at RQ as the service sees them: known from before they are enqueued until their end has been taken in.

What RQ says is read by ``systemtasks.rq_bridge``; here is what the installation knows: which tasks have a job, whether they are
still open, and the proof with which RQ's webhook asks for a look. A look at the wrong time does nothing, so the proof need
not expire.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from orchestrator.errors import Unauthorized
from orchestrator.ids import workflow_id_of
from orchestrator.plan import Plan
from orchestrator.settings import Settings
from orchestrator.store import dispatch
from orchestrator.store.context import StoreContext
from orchestrator.store.rq_jobs import Due, Outstanding, claim_rq_jobs, drop_rq_job, hurry_rq_job, put_rq_job

PROOF_HEADER = "x-orchestrator-proof"


class Watched(NamedTuple):
    """A job that is to be looked at; ``state`` is that of its task's dispatch entry, '' when the task is over."""

    job: Outstanding
    state: str


class Watch(NamedTuple):
    """What is to be looked at now; ``wait_ms`` until there is more, None when nothing else is known."""

    wait_ms: int | None
    jobs: list[Watched]


def put(store: StoreContext, job: Outstanding, delay_ms: int) -> Plan[None]:
    """Have the job of a task looked at, from ``delay_ms`` from now on."""
    yield put_rq_job(store.keys, job, delay_ms)


def drop(store: StoreContext, task_id: str) -> Plan[None]:
    """Look at the job of a task no more."""
    yield drop_rq_job(store.keys, task_id)


def watch(store: StoreContext, count_max: int) -> Plan[Watch]:
    """The jobs whose time has come. They come again until they are dropped."""
    due: Due = yield claim_rq_jobs(store.keys, count_max)
    if not due.jobs:
        return Watch(due.wait_ms, [])
    keys = store.keys
    states = yield [
        dispatch.state_of(keys, keys.partition_of(workflow_id_of(job.task_id)), job.task_id) for job in due.jobs
    ]
    found = [Watched(job, state) for job, state in zip(due.jobs, states, strict=True) if isinstance(state, str)]
    return Watch(due.wait_ms, found)


def hurry(store: StoreContext, task_id: str, proof: str) -> Plan[None]:
    """Have the job of a task looked at now. Raises ``Unauthorized`` without the proof that came with the job."""
    wanted = proof_of(store.settings, task_id)
    if wanted is None or not hmac.compare_digest(wanted.encode(), proof.encode()):
        raise Unauthorized(f"the header {PROOF_HEADER} does not prove that this comes from the job of task {task_id}")
    yield hurry_rq_job(store.keys, task_id)


def proof_of(settings: Settings, task_id: str) -> str | None:
    """What the webhook of a task's job brings along; None without the setting ``webhook_secret``."""
    if not settings.webhook_secret:
        return None
    return hmac.new(settings.webhook_secret.encode(), f"rq:{task_id}".encode(), hashlib.sha256).hexdigest()
