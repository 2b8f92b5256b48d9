"""Definitions as Python values: WorkflowDef, WorkflowTask, TaskDef and the small records inside them.

Field names are Conductor's in snake case; the camelCase of JSON and the defaults for nulls live in ``wire``, the rules
in ``validation``. Nothing here checks anything: a definition may be built field by field and be wrong until validated.
Built by ``wire`` and by the Python workflow builder, read by the core and the services, mutated by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

TASK_DEPTH_MAX = 100
"""How deep tasks may nest in cases, branches and loop bodies. Deeper trees are refused and never walked."""


class TimeoutPolicy(StrEnum):
    """What a task's own time-out does. Example: ``TaskDef(name="a", timeout_policy=TimeoutPolicy.RETRY)``."""

    RETRY = "RETRY"
    TIME_OUT_WF = "TIME_OUT_WF"
    ALERT_ONLY = "ALERT_ONLY"


class WorkflowTimeoutPolicy(StrEnum):
    """What a workflow's time-out does. Example: ``WorkflowTimeoutPolicy.ALERT_ONLY``."""

    TIME_OUT_WF = "TIME_OUT_WF"
    ALERT_ONLY = "ALERT_ONLY"


class RetryLogic(StrEnum):
    """How the delay before a retry grows. Example: ``RetryLogic.EXPONENTIAL_BACKOFF``."""

    FIXED = "FIXED"
    EXPONENTIAL_BACKOFF = "EXPONENTIAL_BACKOFF"
    LINEAR_BACKOFF = "LINEAR_BACKOFF"


class IdempotencyStrategy(StrEnum):
    """What a start with a known idempotency key does. Example: ``IdempotencyStrategy.RETURN_EXISTING``."""

    FAIL = "FAIL"
    RETURN_EXISTING = "RETURN_EXISTING"
    FAIL_ON_RUNNING = "FAIL_ON_RUNNING"


class JoinMode(StrEnum):
    """Conductor's JOIN polling mode; kept for round trips, since a JOIN here is never polled."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"


class RateLimitPolicy(StrEnum):
    """What happens to a start beyond the workflow's own limit. Example: ``RateLimitPolicy.QUEUE``."""

    QUEUE = "QUEUE"
    REJECT = "REJECT"


class SchemaType(StrEnum):
    """The language a SchemaDef is written in. Example: ``SchemaType.JSON``."""

    JSON = "JSON"
    AVRO = "AVRO"
    PROTOBUF = "PROTOBUF"


class TaskType(StrEnum):
    """The built-in task types. ``WorkflowTask.type`` is plain text, since any other name is a worker's type."""

    SIMPLE = "SIMPLE"
    USER_DEFINED = "USER_DEFINED"
    # operators: they only steer the workflow
    DECISION = "DECISION"
    DO_WHILE = "DO_WHILE"
    DYNAMIC = "DYNAMIC"
    EXCLUSIVE_JOIN = "EXCLUSIVE_JOIN"
    FORK = "FORK"
    FORK_JOIN = "FORK_JOIN"
    FORK_JOIN_DYNAMIC = "FORK_JOIN_DYNAMIC"
    HUMAN = "HUMAN"
    JOIN = "JOIN"
    NOOP = "NOOP"
    SET_VARIABLE = "SET_VARIABLE"
    START_WORKFLOW = "START_WORKFLOW"
    SUB_WORKFLOW = "SUB_WORKFLOW"
    SWITCH = "SWITCH"
    TERMINATE = "TERMINATE"
    WAIT = "WAIT"
    WAIT_FOR_WEBHOOK = "WAIT_FOR_WEBHOOK"
    # system tasks: the server does the work
    AGENT = "AGENT"
    CALL_MCP_TOOL = "CALL_MCP_TOOL"
    CANCEL_AGENT = "CANCEL_AGENT"
    EVENT = "EVENT"
    GENERATE_PDF = "GENERATE_PDF"
    GET_AGENT_CARD = "GET_AGENT_CARD"
    HTTP = "HTTP"
    HTTP_POLL = "HTTP_POLL"
    INLINE = "INLINE"
    JSON_JQ_TRANSFORM = "JSON_JQ_TRANSFORM"
    KAFKA_PUBLISH = "KAFKA_PUBLISH"
    LAMBDA = "LAMBDA"
    LIST_MCP_TOOLS = "LIST_MCP_TOOLS"
    LLM_CHAT_COMPLETE = "LLM_CHAT_COMPLETE"
    LLM_GENERATE_EMBEDDINGS = "LLM_GENERATE_EMBEDDINGS"
    LLM_GET_EMBEDDINGS = "LLM_GET_EMBEDDINGS"
    LLM_INDEX_TEXT = "LLM_INDEX_TEXT"
    LLM_SEARCH_EMBEDDINGS = "LLM_SEARCH_EMBEDDINGS"
    LLM_SEARCH_INDEX = "LLM_SEARCH_INDEX"
    LLM_STORE_EMBEDDINGS = "LLM_STORE_EMBEDDINGS"
    LLM_TEXT_COMPLETE = "LLM_TEXT_COMPLETE"
    PULL_WORKFLOW_MESSAGES = "PULL_WORKFLOW_MESSAGES"
    RQ = "RQ"


OPERATOR_TYPES: frozenset[str] = frozenset(
    str(kind)
    for kind in (
        TaskType.DECISION,
        TaskType.DO_WHILE,
        TaskType.DYNAMIC,
        TaskType.EXCLUSIVE_JOIN,
        TaskType.FORK,
        TaskType.FORK_JOIN,
        TaskType.FORK_JOIN_DYNAMIC,
        TaskType.HUMAN,
        TaskType.JOIN,
        TaskType.NOOP,
        TaskType.SET_VARIABLE,
        TaskType.START_WORKFLOW,
        TaskType.SUB_WORKFLOW,
        TaskType.SWITCH,
        TaskType.TERMINATE,
        TaskType.WAIT,
        TaskType.WAIT_FOR_WEBHOOK,
    )
)
"""Types that steer the workflow itself."""

WORKER_TYPES: frozenset[str] = frozenset((str(TaskType.SIMPLE), str(TaskType.USER_DEFINED)))
"""Built-in names of what is nevertheless done by a worker."""

SYSTEM_TYPES: frozenset[str] = frozenset(str(kind) for kind in TaskType) - OPERATOR_TYPES - WORKER_TYPES
"""Types whose work the server does (HTTP call, script, message)."""

_BUILT_IN_TYPES = OPERATOR_TYPES | SYSTEM_TYPES


def is_built_in(task_type: str) -> bool:
    """Whether the engine or the server carries out ``task_type``. Example: ``is_built_in("SWITCH")`` is True."""
    return task_type in _BUILT_IN_TYPES


def is_worker_task(task_type: str) -> bool:
    """Whether workers carry out ``task_type``: SIMPLE, or a name nobody has reserved (``is_worker_task("resize")``)."""
    return task_type not in _BUILT_IN_TYPES


class RateLimitConfig(msgspec.Struct, kw_only=True):
    """How many executions of a workflow may run at once per value of ``rate_limit_key``."""

    rate_limit_key: str | None = None
    concurrent_exec_limit: int = 0
    policy: RateLimitPolicy = RateLimitPolicy.QUEUE


class SchemaDef(msgspec.Struct, kw_only=True):
    """A named schema for inputs or outputs; ``data`` holds it inline, ``external_ref`` points to it."""

    name: str
    version: int = 1
    type: SchemaType = SchemaType.JSON
    data: dict[str, Any] | None = None
    external_ref: str | None = None


class CacheConfig(msgspec.Struct, kw_only=True):
    """Reuse of a task's output: ``key`` is an expression, ``ttl_in_second`` its life in seconds."""

    key: str | None = None
    ttl_in_second: int = 0


class StateChangeEvent(msgspec.Struct, kw_only=True):
    """What to publish when a task reaches a state named in ``on_state_change``."""

    type: str
    payload: dict[str, Any] | None = None


class TaskDef(msgspec.Struct, kw_only=True):
    """Policy of all tasks of one name: retries, time-outs, limits. Times in seconds unless the name says ``_ms``.

    Example: ``TaskDef(name="charge", retry_count=5, concurrent_exec_limit=10)``
    """

    name: str
    description: str | None = None
    retry_count: int = 3
    timeout_seconds: int = 0
    timeout_policy: TimeoutPolicy = TimeoutPolicy.TIME_OUT_WF
    retry_logic: RetryLogic = RetryLogic.FIXED
    retry_delay_seconds: int = 60
    max_retry_delay_seconds: int = 0
    backoff_jitter_ms: int = 0
    backoff_scale_factor: int = 1
    response_timeout_seconds: int = 3600
    poll_timeout_seconds: int | None = None
    total_timeout_seconds: int = 0
    input_keys: list[str] = []
    output_keys: list[str] = []
    input_template: dict[str, Any] = {}
    runtime_metadata: list[str] = []
    concurrent_exec_limit: int | None = None
    rate_limit_per_frequency: int = 0
    rate_limit_frequency_in_seconds: int = 1
    isolation_group_id: str | None = None
    execution_name_space: str | None = None
    owner_email: str | None = None
    base_type: str | None = None
    task_status_listener_enabled: bool = True
    input_schema: SchemaDef | None = None
    output_schema: SchemaDef | None = None
    enforce_schema: bool = False
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None
    fairness_key: str | None = None
    limit_key: str | None = None


class SubWorkflowParams(msgspec.Struct, kw_only=True):
    """Which workflow a SUB_WORKFLOW task starts. ``name``, ``version``, ``priority`` may be ``${...}`` expressions.

    ``workflow_definition`` is an inline definition, or an expression that yields one.
    """

    name: str = ""
    version: int | str | None = None
    task_to_domain: dict[str, str] | None = None
    workflow_definition: WorkflowDef | str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: IdempotencyStrategy | None = None
    priority: int | str | None = None


class WorkflowTask(msgspec.Struct, kw_only=True):
    """One step of a definition. Which fields matter depends on ``type``.

    Example: ``WorkflowTask(name="pay", task_reference_name="pay", input_parameters={"sum": "${workflow.input.sum}"})``
    """

    name: str
    task_reference_name: str
    description: str | None = None
    input_parameters: dict[str, Any] = {}
    type: str = "SIMPLE"
    dynamic_task_name_param: str | None = None
    case_value_param: str | None = None
    case_expression: str | None = None
    script_expression: str | None = None
    decision_cases: dict[str, list[WorkflowTask]] = {}
    default_case: list[WorkflowTask] = []
    dynamic_fork_join_tasks_param: str | None = None
    dynamic_fork_tasks_param: str | None = None
    dynamic_fork_tasks_input_param_name: str | None = None
    fork_tasks: list[list[WorkflowTask]] = []
    start_delay: int = 0
    sub_workflow_param: SubWorkflowParams | None = None
    join_on: list[str] = []
    join_status: str | None = None
    join_mode: JoinMode | None = None
    sink: str | None = None
    optional: bool = False
    permissive: bool = False
    task_definition: TaskDef | None = None
    rate_limited: bool | None = None
    default_exclusive_join_task: list[str] = []
    async_complete: bool = False
    loop_condition: str | None = None
    loop_over: list[WorkflowTask] = []
    items: str | None = None
    retry_count: int | None = None
    evaluator_type: str | None = None
    expression: str | None = None
    on_state_change: dict[str, list[StateChangeEvent]] = {}
    cache_config: CacheConfig | None = None
    metadata: dict[str, Any] = {}


class WorkflowDef(msgspec.Struct, kw_only=True):
    """A versioned workflow: the tree of tasks and what surrounds it. ``timeout_seconds`` 0 means none.

    Example: ``WorkflowDef(name="hello", tasks=[WorkflowTask(name="greet", task_reference_name="greet")])``
    """

    name: str
    version: int = 1
    description: str | None = None
    tasks: list[WorkflowTask] = []
    input_parameters: list[str] = []
    output_parameters: dict[str, Any] = {}
    failure_workflow: str | None = None
    failure_workflow_version: int | None = None
    schema_version: int = 2
    restartable: bool = True
    workflow_status_listener_enabled: bool = False
    workflow_status_listener_sink: str | None = None
    owner_email: str | None = None
    timeout_policy: WorkflowTimeoutPolicy = WorkflowTimeoutPolicy.ALERT_ONLY
    timeout_seconds: int = 0
    variables: dict[str, Any] = {}
    input_template: dict[str, Any] = {}
    rate_limit_config: RateLimitConfig | None = None
    input_schema: SchemaDef | None = None
    output_schema: SchemaDef | None = None
    enforce_schema: bool = True
    metadata: dict[str, Any] = {}
    cache_config: CacheConfig | None = None
    masked_fields: list[str] = []
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None


def default_task_def(name: str, task_type: str) -> TaskDef:
    """The TaskDef of a task nobody registered one for.

    A SIMPLE task gets all defaults; anything else gets no retries and no response time-out, since an operator or a
    server-side task does not stop responding. Example: ``default_task_def("sum", "INLINE").retry_count == 0``
    """
    if task_type == TaskType.SIMPLE:
        return TaskDef(name=name)
    return TaskDef(name=name, retry_count=0, response_timeout_seconds=0)


class Location(NamedTuple):
    """Where a task stands in its definition: ``path`` in JSON terms, neighbours in its list, depth from 1."""

    path: str
    task: WorkflowTask
    depth: int
    in_loop: bool
    previous: WorkflowTask | None
    following: WorkflowTask | None


def walk(definition: WorkflowDef) -> Iterator[tuple[str, WorkflowTask]]:
    """Every task of the tree with its path, in reading order; see ``locate`` for what counts as the tree.

    Example: ``dict(walk(d))["tasks[0].loopOver[1]"].name``
    """
    return ((location.path, location.task) for location in locate(definition))


def locate(definition: WorkflowDef) -> Iterator[Location]:
    """Every task of the tree in reading order: cases, default, branches and loop bodies, not inline sub-workflows.

    Only the lists that a task's type uses are entered. Iterative, and bounded by ``TASK_DEPTH_MAX`` (one level more is
    yielded, so that a validator sees the excess), because trees built in Python have passed no check yet.
    """
    stack = [_located("tasks", definition.tasks, 1, in_loop=False)]
    while stack:
        location = next(stack[-1], None)
        if location is None:
            stack.pop()
            continue
        yield location
        if location.depth <= TASK_DEPTH_MAX:
            in_loop = location.in_loop or location.task.type == TaskType.DO_WHILE
            for suffix, tasks in reversed(list(nested_lists(location.task))):
                stack.append(_located(location.path + suffix, tasks, location.depth + 1, in_loop=in_loop))


def nested_lists(task: WorkflowTask) -> Iterator[tuple[str, list[WorkflowTask]]]:
    """The lists of tasks that ``task`` directly holds, each with its path below the task (``.forkTasks[0]``)."""
    if task.type in (TaskType.SWITCH, TaskType.DECISION):
        for case, tasks in task.decision_cases.items():
            yield f".decisionCases{path_step(case)}", tasks
        yield ".defaultCase", task.default_case
    elif task.type == TaskType.FORK_JOIN:
        for index, tasks in enumerate(task.fork_tasks):
            yield f".forkTasks[{index}]", tasks
    elif task.type == TaskType.DO_WHILE:
        yield ".loopOver", task.loop_over


def path_step(key: str | int) -> str:
    """One step of a problem's path: ``.name`` for plain names, ``[3]`` for positions, ``['any key']`` for the rest."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() else f"[{key!r}]"


def _located(path: str, tasks: list[WorkflowTask], depth: int, *, in_loop: bool) -> Iterator[Location]:
    for index, task in enumerate(tasks):
        previous = tasks[index - 1] if index else None
        following = tasks[index + 1] if index + 1 < len(tasks) else None
        yield Location(f"{path}[{index}]", task, depth, in_loop, previous, following)
