"""Every verb that may be asked for over HTTP under ``/verbs``: its path, the plan behind it, and the role it takes.

What is not here needs Redis itself. The path names what the verb is about, for the record of changes. Read by the HTTP
clients, which send a verb, and by the API, whose routes of ``/verbs`` are made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.model.access import KeyRole
from orchestrator.plan import Plan
from orchestrator.service import (
    actions,
    backfill,
    bulk,
    companions,
    event_sources,
    events,
    halts,
    lending,
    listing,
    messages,
    metadata,
    operations,
    poll_data,
    queue_care,
    schedules,
    schemas,
    search,
    secrets,
    starting,
    tags,
    tasks,
    transfer,
    webhooks,
    workers,
    workflows,
)
from orchestrator.service.why import why

VIEWER, WORKER, OPERATOR, ADMIN = KeyRole


class Verb(NamedTuple):
    """One verb. ``is_repeatable``: asked a second time because the answer was lost, it changes nothing more."""

    path: str
    plan: Callable[..., Plan[Any]]
    role: KeyRole
    is_repeatable: bool = True


_WORKFLOW = "workflows/{workflow_id}"

VERBS = (
    # definitions
    Verb("definitions/apply", metadata.apply, ADMIN),
    Verb("definitions/introduce", metadata.introduce, OPERATOR),
    Verb("definitions/workflows", metadata.list_workflows, VIEWER),
    Verb("definitions/names", metadata.workflow_names, VIEWER),
    Verb("definitions/workflows/{name}", metadata.get_workflow, VIEWER),
    Verb("definitions/workflows/{name}/versions", metadata.workflow_versions, VIEWER),
    Verb("definitions/workflows/{name}/delete", metadata.delete_workflow, ADMIN, is_repeatable=False),
    Verb("definitions/workflows/{name}/limit", metadata.limit_executions, ADMIN),
    Verb("definitions/workflows/{name}/company", companions.company_of, VIEWER),
    Verb("definitions/company", companions.company, VIEWER),
    Verb("definitions/tasks", metadata.list_task_defs, VIEWER),
    Verb("definitions/tasks/{name}", metadata.get_task_def, VIEWER),
    Verb("definitions/tasks/{name}/delete", metadata.delete_task_def, ADMIN, is_repeatable=False),
    Verb("schemas", schemas.list_all, VIEWER),
    Verb("schemas/{name}", schemas.get, VIEWER),
    Verb("schemas/{name}/delete", schemas.delete, ADMIN, is_repeatable=False),
    Verb("schemas/{name}/delete-all", schemas.delete_all, ADMIN, is_repeatable=False),
    Verb("tags", tags.everywhere, VIEWER),
    Verb("tags/{kind}/{name}", tags.of, VIEWER),
    Verb("tags/{kind}/{name}/add", tags.add, ADMIN),
    Verb("tags/{kind}/{name}/remove", tags.remove, ADMIN),
    # starting and waiting
    Verb("workflows/start", starting.start, OPERATOR),
    Verb("workflows/start-many", starting.start_many, OPERATOR),
    Verb("workflows/execute", halts.execute, OPERATOR),
    Verb(f"{_WORKFLOW}/await", workflows.standing_within, VIEWER),
    Verb(f"{_WORKFLOW}/await-halt", halts.await_halt, VIEWER),
    # looking
    Verb("workflows/list", listing.list_workflows, VIEWER),
    Verb("workflows/search", search.search_workflows, VIEWER),
    Verb("workflows/running", listing.running_ids, VIEWER),
    Verb("workflows/correlated", listing.correlated, VIEWER),
    Verb("workflows/search-by-tasks", search.search_by_tasks, VIEWER),
    Verb("tasks/search", search.search_tasks, VIEWER),
    Verb("tasks/open", search.open_tasks, VIEWER),
    Verb("tasks/polls", poll_data.read, VIEWER),
    Verb(_WORKFLOW, workflows.get, VIEWER),
    Verb(f"{_WORKFLOW}/standing", workflows.standing, VIEWER),
    Verb(f"{_WORKFLOW}/tasks", workflows.list_tasks, VIEWER),
    Verb(f"{_WORKFLOW}/why", why, VIEWER),
    Verb(f"{_WORKFLOW}/export", transfer.export_execution, VIEWER),
    Verb("tasks/{task_id}", tasks.get_task, VIEWER),
    Verb("tasks/{task_id}/logs", tasks.logs, VIEWER),
    Verb("queues", operations.queues, VIEWER),
    Verb("queues/{task_type}", queue_care.show, VIEWER),
    Verb("queues/{task_type}/holders", queue_care.holders, VIEWER),
    Verb("queues/{task_type}/waiters", queue_care.waiters, VIEWER),
    Verb("queues/{task_type}/set-limits", queue_care.set_limits, ADMIN),
    Verb("queues/{task_type}/pause", queue_care.pause, OPERATOR),
    Verb("queues/{task_type}/resume", queue_care.resume, OPERATOR),
    Verb("queues/{task_type}/drain", queue_care.drain, OPERATOR),
    Verb("queues/{task_type}/purge", queue_care.purge, ADMIN, is_repeatable=False),
    Verb("installation", operations.diagnose, VIEWER),
    Verb("installation/overview", operations.overview, VIEWER),
    # workers
    Verb("workers", workers.list_workers, VIEWER),
    Verb("workers/{name}", workers.get, VIEWER),
    Verb("workers/say/alive", workers.say, WORKER),
    Verb("workers/say/gone", workers.leave, WORKER),
    Verb("workers/tell/pause", workers.pause, OPERATOR),
    Verb("workers/tell/resume", workers.resume, OPERATOR),
    Verb("workers/tell/drain", workers.drain, OPERATOR),
    # acting
    Verb("workflows/import", transfer.import_execution, OPERATOR, is_repeatable=False),
    Verb("workflows/act", bulk.act_on_all, OPERATOR),
    Verb(f"{_WORKFLOW}/pause", actions.pause, OPERATOR),
    Verb(f"{_WORKFLOW}/resume", actions.resume, OPERATOR),
    Verb(f"{_WORKFLOW}/terminate", actions.terminate, OPERATOR),
    Verb(f"{_WORKFLOW}/restart", actions.restart, OPERATOR),
    Verb(f"{_WORKFLOW}/retry", actions.retry, OPERATOR),
    Verb(f"{_WORKFLOW}/rerun", actions.rerun, OPERATOR),
    Verb(f"{_WORKFLOW}/skip", actions.skip, OPERATOR),
    Verb(f"{_WORKFLOW}/jump", actions.jump, OPERATOR),
    Verb(f"{_WORKFLOW}/upgrade", actions.upgrade, OPERATOR),
    Verb(f"{_WORKFLOW}/update-variables", actions.update_variables, OPERATOR),
    Verb(f"{_WORKFLOW}/update-state", actions.update_state, OPERATOR),
    Verb(f"{_WORKFLOW}/reset-callbacks", actions.reset_callbacks, OPERATOR),
    Verb(f"{_WORKFLOW}/remove", workflows.remove, OPERATOR, is_repeatable=False),
    Verb(f"{_WORKFLOW}/unpark", workflows.unpark, OPERATOR),
    Verb(f"{_WORKFLOW}/signal", halts.signal, OPERATOR),
    Verb(f"{_WORKFLOW}/signal-and-wait", halts.signal_and_wait, OPERATOR),
    Verb(f"{_WORKFLOW}/push-message", messages.push, OPERATOR),
    Verb(f"{_WORKFLOW}/tasks/{{ref}}/update", tasks.update_task_by_ref, WORKER, is_repeatable=False),
    Verb("tasks/update", tasks.update_task, WORKER),
    Verb("tasks/poll", lending.poll, WORKER, is_repeatable=False),
    Verb("tasks/{task_id}/log", tasks.add_log, WORKER),
    # events
    Verb("events/handlers/apply", events.apply_handlers, ADMIN),
    Verb("events/handlers", events.list_handlers, VIEWER),
    Verb("events/handlers/{name}", events.get_handler, VIEWER),
    Verb("events/handlers/{name}/remove", events.remove_handler, ADMIN, is_repeatable=False),
    Verb("events/{event}/publish", events.publish, OPERATOR),
    Verb("events/executions", events.executions, VIEWER),
    Verb("events/queues", event_sources.names, VIEWER),
    Verb("events/queues/{kind}/{name}", event_sources.get, VIEWER),
    Verb("events/queues/{kind}/{name}/put", event_sources.put, ADMIN),
    Verb("events/queues/{kind}/{name}/delete", event_sources.delete, ADMIN, is_repeatable=False),
    # webhooks
    Verb("webhooks/save", webhooks.put, ADMIN),
    Verb("webhooks", webhooks.list_all, VIEWER),
    Verb("webhooks/{webhook_id}", webhooks.get, VIEWER),
    Verb("webhooks/{webhook_id}/deliveries", webhooks.deliveries, VIEWER),
    Verb("webhooks/{webhook_id}/delete", webhooks.delete, ADMIN, is_repeatable=False),
    # schedules
    Verb("schedules/save", schedules.save, OPERATOR),
    Verb("schedules", schedules.list_schedules, VIEWER),
    Verb("schedules/search", schedules.search, VIEWER),
    Verb("schedules/times", schedules.next_times, VIEWER),
    Verb("schedules/executions", schedules.executions, VIEWER),
    Verb("schedules/{name}", schedules.get, VIEWER),
    Verb("schedules/{name}/pause", schedules.pause, OPERATOR),
    Verb("schedules/{name}/resume", schedules.resume, OPERATOR),
    Verb("schedules/{name}/remove", schedules.remove, OPERATOR, is_repeatable=False),
    Verb("schedules/{name}/set-tags", schedules.set_tags, OPERATOR),
    Verb("schedules/{name}/remove-tags", schedules.remove_tags, OPERATOR),
    Verb("schedules/pause-all", schedules.pause_all, ADMIN),
    Verb("schedules/resume-all", schedules.resume_all, ADMIN),
    Verb("schedules/requeue-all", schedules.requeue_all, ADMIN),
    Verb("schedules/{name}/backfill", backfill.backfill, OPERATOR),
    Verb("schedules/{name}/run", backfill.run_now, OPERATOR),
    # secrets and environment values
    Verb("secrets", secrets.names, ADMIN),
    Verb("secrets/{name}/put", secrets.put, ADMIN),
    Verb("secrets/{name}/delete", secrets.delete, ADMIN, is_repeatable=False),
    Verb("environment", secrets.environment_values, VIEWER),
    Verb("environment/{name}", secrets.environment_value, VIEWER),
    Verb("environment/{name}/put", secrets.put_environment, ADMIN),
    Verb("environment/{name}/delete", secrets.delete_environment, ADMIN, is_repeatable=False),
)

BY_PLAN = {verb.plan: verb for verb in VERBS}
"""The row of a plan."""
