"""RQ, spoken to with its own library: enqueue a job, see what has become of jobs, take one back.

The only file that loads ``rq``. Everything blocks, so it is called in threads. Results of queues with RQ's usual serializer
are pickles; they are read by an unpickler that makes plain values only and calls nothing, so a worker of RQ cannot have code
run here. What a job returned that is more than that cannot be a task's output anyway.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.webhook import Webhook

from orchestrator.binding import encode_output
from orchestrator.context import TaskContext
from orchestrator.errors import InvalidPayload
from orchestrator.service.rq_jobs import PROOF_HEADER, proof_of
from orchestrator.settings import Settings
from orchestrator.store.foreign import client_for_library, failures_as_ours
from orchestrator.store.rq_jobs import Outstanding
from orchestrator.systemtasks.rq import Request, serializers

RESULT_TTL_S = 86_400
"""A result waits so long for us: an installation that was away for a day has lost nothing."""

WEBHOOK_TIMEOUT_S = 5
_UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, RecursionError, TypeError, ValueError,
    pickle.UnpicklingError, zlib.error,
)  # fmt: skip
"""What reading bytes that a worker of RQ wrote may come to."""

_ID = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = frozenset(
    {("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")}
    | {("collections", "OrderedDict"), ("decimal", "Decimal"), ("uuid", "UUID"), ("rq.job", "Retry")}
)


class Sighting(NamedTuple):
    """What RQ says of a job.

    ``is_known``: there is a record. ``status``: how its task ends, '' while the job is not over. ``is_lost``: RQ has not
    noticed itself that nobody works on it any more.
    """

    is_known: bool
    status: str = ""
    output: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, and never changed
    reason: str | None = None
    log: str = ""
    worker: str = ""
    is_lost: bool = False


class PlainPickle:
    """RQ's usual serializer, but for reading anything else than plain values."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """As RQ's workers read it."""
        return pickle.dumps(value, protocol=4)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Raises ``UnpicklingError`` for a value that is not plain."""
        return _Unpickler(io.BytesIO(data)).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds a {module}.{name}, and only what JSON can say is read")


class RqJobs:
    """RQ as the settings name it. Raises ``SettingsInvalid`` for a Redis that RQ cannot use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = client_for_library(settings.rq_url or settings.redis_url, "rq_url")
        kinds: dict[str, Any] = {"pickle": PlainPickle, "json": JSONSerializer}
        self._serializers = {name: kinds[kind] for name, kind in serializers(settings).items()}

    async def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def enqueue(self, task: TaskContext, request: Request) -> str:
        """Put the job of a task into its queue unless that was done before; gives the job's id.

        Raises ``StoreUnavailable``.
        """
        job_id = self.id_of(task.task_id)
        told = {"task_id": task.task_id, "workflow_id": task.workflow_id, "idempotency_key": task.idempotency_key}
        with failures_as_ours("RQ"), contextlib.suppress(DuplicateJobError):
            self._queue(request.queue).enqueue_call(
                request.function,
                args=tuple(request.args),
                kwargs=request.kwargs,
                timeout=request.timeout_s,
                result_ttl=RESULT_TTL_S,
                retry=Retry(request.retries, request.retry_intervals_s) if request.retries else None,
                job_id=job_id,
                meta={"orchestrator": told},
                unique=True,
                webhooks=self._webhooks(task.task_id),
            )
        return job_id

    def look(self, jobs: Sequence[Outstanding], now_s: float) -> list[Sighting]:
        """What RQ says of jobs; ``now_s`` is the time by which its workers' signs of life are judged.

        Raises ``StoreUnavailable``.
        """
        with failures_as_ours("RQ"):
            with self._redis.pipeline(transaction=False) as pipeline:
                for job in jobs:
                    pipeline.hget(Job.key_for(self.id_of(job.task_id)), "status")
                statuses = [None if status is None else status.decode() for status in pipeline.execute()]
            lost = self._lost(jobs, statuses, now_s)
            return [self._sighting(job, status, lost) for job, status in zip(jobs, statuses, strict=True)]

    def cancel(self, job: Outstanding) -> None:
        """Take a job back: one that runs is stopped, as far as its worker listens. Raises ``StoreUnavailable``."""
        job_id, serializer = self.id_of(job.task_id), self._serializers.get(job.queue, PlainPickle)
        with failures_as_ours("RQ"):
            try:
                found = Job.fetch(job_id, connection=self._redis, serializer=serializer)
                if found.is_started:
                    send_stop_job_command(self._redis, job_id, serializer=serializer)
                else:
                    found.cancel()
            except (NoSuchJobError, InvalidJobOperation):
                pass  # gone, or about to begin: it is looked at again

    def give_up(self, job: Outstanding) -> None:
        """Take a job back that nobody works on any more, so that RQ does not begin it anew."""
        job_id = self.id_of(job.task_id)
        self.cancel(job)  # its worker may be slow and not dead
        with failures_as_ours("RQ"):
            with contextlib.suppress(NoSuchJobError, InvalidJobOperation):
                found = Job.fetch(job_id, connection=self._redis, serializer=PlainPickle)
                # RQ forgets executions before it forgets that they run, and its own cancelling fails on such a one.
                running = StartedJobRegistry(job.queue, connection=self._redis)
                for pair in running.get_job_and_execution_ids(cleanup=False):
                    if pair[0] == job_id:
                        self._redis.zrem(running.key, ":".join(pair))
                self._redis.delete(found.execution_registry.key)
                found.cancel()
            self._queue(job.queue).intermediate_queue.remove(job_id)

    def id_of(self, task_id: str) -> str:
        """The id of a task's job: it follows from the task's, also where RQ would not take that."""
        name = f"{self._settings.namespace}-{task_id}"
        return name if _ID.fullmatch(name) else f"orchestrator-{sha256(name.encode()).hexdigest()[:40]}"

    def _queue(self, name: str) -> Queue:
        return Queue(name, connection=self._redis, serializer=self._serializers.get(name, PlainPickle))

    def _webhooks(self, task_id: str) -> list[Webhook] | None:
        proof = proof_of(self._settings, task_id)
        if proof is None or not self._settings.rq_webhook_url:
            return None
        url = f"{self._settings.rq_webhook_url.rstrip('/')}/rq/{task_id}"
        headers = {PROOF_HEADER: proof}
        return [
            Webhook(url, "finished", method="POST", headers=headers, timeout=WEBHOOK_TIMEOUT_S),
            Webhook(url, "failed", method="POST", headers=headers, timeout=WEBHOOK_TIMEOUT_S),
        ]

    def _lost(self, jobs: Sequence[Outstanding], statuses: Sequence[str | None], now_s: float) -> set[str]:
        """The jobs without a sign of life from their worker, by RQ's own rules; RQ looks every ten minutes only."""
        lost: set[str] = set()
        pairs = list(zip(jobs, statuses, strict=True))
        for name in {job.queue for job, status in pairs if status == JobStatus.STARTED}:
            lost.update(StartedJobRegistry(name, connection=self._redis).get_expired_job_ids(now_s))
        for name in {job.queue for job, status in pairs if status == JobStatus.QUEUED}:
            between = self._queue(name).intermediate_queue  # taken out of the queue, not begun
            ours = {self.id_of(job.task_id) for job, _ in pairs}
            taken = [job_id for job_id in between.get_job_ids() if job_id in ours]
            lost |= {one for one in taken if not between.set_first_seen(one) and between.should_be_cleaned_up(one)}
        return lost

    def _sighting(self, job: Outstanding, status: str | None, lost: set[str]) -> Sighting:
        job_id = self.id_of(job.task_id)
        if status is None:
            return Sighting(False)
        if status in (JobStatus.FINISHED, JobStatus.FAILED):
            return self._ended(job, status)
        if status in (JobStatus.CANCELED, JobStatus.STOPPED):
            return Sighting(True, "FAILED_WITH_TERMINAL_ERROR", reason=f"RQ job {job_id} was {status} at RQ")
        if job_id in lost:
            return Sighting(True, "FAILED", reason=f"the RQ worker that had job {job_id} is lost", is_lost=True)
        return Sighting(True)

    def _ended(self, job: Outstanding, status: str) -> Sighting:
        job_id, serializer = self.id_of(job.task_id), self._serializers.get(job.queue)
        if serializer is None:
            return _unreadable(job_id, f"the setting rq_queues does not name the queue {job.queue!r}")
        try:
            found = Job.fetch(job_id, connection=self._redis, serializer=serializer).latest_result()
        except NoSuchJobError:
            return Sighting(False)
        except _UNREADABLE as error:
            return _unreadable(job_id, str(error))
        if found is None:
            return Sighting(True, "FAILED", reason=f"RQ job {job_id} is {status}, but its result is gone")
        if status == JobStatus.FAILED:
            return _failed(found)
        try:
            return Sighting(True, "COMPLETED", encode_output(found.return_value), worker=found.worker_name)
        except InvalidPayload as error:
            return _unreadable(job_id, str(error))


def _failed(result: Result) -> Sighting:
    text = (result.exc_string or "").strip()
    if result.type == Result.Type.MAX_RETRIES_EXCEEDED:
        text = text or "the retries that the function asked RQ for are used up"
    reason = text.rpartition("\n")[2] or "RQ kept no reason"
    return Sighting(True, "FAILED", reason=reason, log=text, worker=result.worker_name)


def _unreadable(job_id: str, why: str) -> Sighting:
    return Sighting(True, "FAILED_WITH_TERMINAL_ERROR", reason=f"what RQ job {job_id} returned cannot be read: {why}")
