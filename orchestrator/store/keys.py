"""The map of the database: every key name is born here, with its type, its life time and who writes it.

No script ever touches two slots. The kinds of slot are: a partition (all truth about its workflows), a queue (handing
out one task type), an event (its messages and what was done for them), the schedules, the jobs at RQ, access, the catalog
(definitions), and small ones of a gate and of a cached output.
The hash tag keeps a slot's keys together on a Cluster; the namespace is in front and inside of the tag, so
installations share a server, an ACL of ``~orc:*`` is enough and the slots of two installations differ. Nothing else
in the package may spell a key. Nothing here talks to Redis.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from orchestrator.errors import SettingsInvalid
from orchestrator.ids import PARTITIONS_MAX, partition_of

CACHED_TTL_MS = 366 * 24 * 3_600_000
ANSWER_TTL_MS = 600_000
EXECUTION_TTL_MS = 7 * 86_400_000
RATE_TTL_MS = 2_000
READ_END_TTL_MS = 10_000
STAGED_TTL_MS = 600_000
TOMBSTONE_TTL_MS = 3_600_000

STATE_FIELDS = ("v", "s", "rid", "t", "n", "m", "i", "c", "x", "o", "q", "qe", "qt", "qu", "qm")
"""What a workflow's hash has besides records: version, status, id of the request, start, name, packed ``Meta``, input,
``Core``, variables and output; and of a quarantine its reason, event, time, and where its end has come to."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_TAG_BREAKERS = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keys:
    """Key names of one installation.

    Raises ``SettingsInvalid`` for a namespace or a number of partitions that cannot work.
    Example: ``Keys().workflow(3, "order-1") == "orc:{orc.p3}:w:order-1"``
    """

    def __init__(self, namespace: str = "orc", partitions: int = 16) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise SettingsInvalid(f"namespace: {namespace!r} is not 1 to 64 letters, digits, '_', '.' or '-'")
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise SettingsInvalid(f"partitions: {partitions} is outside 1..{PARTITIONS_MAX}")
        self.namespace = namespace
        self.partitions = partitions
        self._partition = tuple(f"{namespace}:{self.partition_tag(number)}:" for number in range(partitions))
        self._catalog = f"{namespace}:{{{namespace}.c}}:"
        self._schedules = f"{namespace}:{{{namespace}.s}}:"
        self._jobs = f"{namespace}:{{{namespace}.j}}:"
        self._access = f"{namespace}:{{{namespace}.a}}:"
        self._queues: dict[str, str] = {}
        self._events: dict[str, str] = {}

    def partition_of(self, workflow_id: str) -> int:
        """The partition that holds this workflow."""
        return partition_of(workflow_id, self.partitions)

    def partition_tag(self, partition: int) -> str:
        """The hash tag of a partition: a key with it in its name lives in the same slot of a cluster."""
        return f"{{{self.namespace}.p{partition}}}"

    def partition_of_tag(self, tag: str) -> int | None:
        """The partition whose hash tag this is, or ``None``."""
        return next((number for number in range(self.partitions) if self.partition_tag(number) == tag), None)

    # --- partition slot: whole partition ---------------------------------------------------------------------------

    def ownership(self, partition: int) -> str:
        """Hash: owner ``o``, epoch ``e``, expiry ``x``, crashes in a row ``n``, suspects ``try:<event id>``. No TTL."""
        return self._partition[partition] + "own"

    def inbox(self, partition: int) -> str:
        """Stream of events not yet committed, never trimmed by length. All append, the owner's commit deletes."""
        return self._partition[partition] + "ev"

    def outbox(self, partition: int) -> str:
        """Stream of hand-offs to other slots. Written by the commit; deleted once the receiver has them for good."""
        return self._partition[partition] + "ob"

    def timers(self, partition: int) -> str:
        """Sorted set by due time (ms): ``<workflow id> <task suffix or -> <ref>``. Commit, start_task and touch arm."""
        return self._partition[partition] + "tm"

    def definitions(self, partition: int) -> str:
        """Hash: content hash -> resolved definition, once for all executions of the partition. Written by start."""
        return self._partition[partition] + "defs"

    def idempotency(self, partition: int) -> str:
        """Hash: ``<workflow name>\\n<idempotency key>`` -> workflow id. Written by start, cleared by remove."""
        return self._partition[partition] + "idem"

    def dead_letters(self, partition: int) -> str:
        """Stream of events whose workflow could not be found, with the reason. Written by the owner."""
        return self._partition[partition] + "dlq"

    # --- partition slot: one workflow ------------------------------------------------------------------------------

    def workflow(self, partition: int, workflow_id: str) -> str:
        """Hash, no TTL: ``STATE_FIELDS``, few and small letters, and whatever there is of records, capital ones.

        ``S<ref>``, ``R<ref>`` -> packed records of tasks; older ones ``S<ref>\\n<attempt>.<generation>``; ``M<n>`` messages.
        So nothing but a view reads it whole, and what needs the state asks for its fields.
        """
        return f"{self._partition[partition]}w:{workflow_id}"

    def staged(self, partition: int, name: str) -> str:
        """Hash, 10 min: records of an execution that comes from elsewhere, before it exists. Import makes it ``workflow``."""
        return f"{self._partition[partition]}staged:{name}"

    def dispatch(self, partition: int, workflow_id: str) -> str:
        """Hash: task suffix -> dispatch text. Created and removed by the commit, moved by start_task and accept."""
        return f"{self._partition[partition]}d:{workflow_id}"

    def parked(self, partition: int, workflow_id: str) -> str:
        """Stream of the events of a quarantined workflow, replayed in order by unpark."""
        return f"{self._partition[partition]}park:{workflow_id}"

    def tombstone(self, partition: int, workflow_id: str) -> str:
        """String, 1 h: a child that was cancelled before it arrived must not start. Written by tell."""
        return f"{self._partition[partition]}tomb:{workflow_id}"

    def answer(self, partition: int, request_id: str) -> str:
        """String, 10 min: the answer to a request; '' while it is pending. Written by request, then by the commit."""
        return f"{self._partition[partition]}ans:{request_id}"

    # --- partition slot: search index, sorted sets by start time (ms), member = workflow id; commit and remove only ---

    def by_status(self, partition: int, status: str) -> str:
        """Sorted set: executions in this status."""
        return f"{self._partition[partition]}idx:s:{status}"

    def by_name(self, partition: int, name: str) -> str:
        """Sorted set: executions of this workflow name."""
        return f"{self._partition[partition]}idx:t:{name}"

    def by_correlation(self, partition: int, correlation_id: str) -> str:
        """Sorted set: executions under this correlation id."""
        return f"{self._partition[partition]}idx:c:{correlation_id}"

    def awaiting_webhook(self, partition: int, name: str) -> str:
        """Sorted set, all scores 0: open WAIT_FOR_WEBHOOK tasks of a workflow name by what they await; commit only."""
        return f"{self._partition[partition]}idx:w:{name}"

    # --- partition slot: channels (pub/sub hints, never needed for correctness) ------------------------------------

    def done_channel(self, partition: int, workflow_id: str) -> str:
        """Channel on which the commit says that the workflow has moved."""
        return f"{self._partition[partition]}done:{workflow_id}"

    def answer_channel(self, partition: int, request_id: str) -> str:
        """Channel on which the commit says that the answer is there: the name of the answer's key."""
        return self.answer(partition, request_id)

    # --- queue slot ------------------------------------------------------------------------------------------------

    def ready(self, task_type: str, domain_index: int = 0) -> str:
        """Sorted set by priority and age: tasks to hand out; one per domain, index 0 = no domain."""
        return f"{self._queue(task_type)}rdy:{domain_index}"

    def delayed(self, task_type: str) -> str:
        """Sorted set by due time (ms): tasks that may not be handed out yet."""
        return self._queue(task_type) + "dly"

    def leases(self, task_type: str) -> str:
        """Sorted set by expiry (ms): tasks a worker holds. Its size is the concurrency in use."""
        return self._queue(task_type) + "lea"

    def held(self, task_type: str) -> str:
        """Set: postponed tasks that keep their concurrency slot."""
        return self._queue(task_type) + "hld"

    def records(self, task_type: str) -> str:
        """Hash: task id -> record text, for every task in ready, delayed, leases or held."""
        return self._queue(task_type) + "rec"

    def queue_meta(self, task_type: str) -> str:
        """Hash: limits, domain list, counters of the queue. No TTL."""
        return self._queue(task_type) + "meta"

    def tokens(self, task_type: str) -> str:
        """List of rate-limit grants ``<ms> <count>``, oldest first; bounded by the rate."""
        return self._queue(task_type) + "tok"

    def waiters(self, task_type: str, domain_index: int = 0) -> str:
        """Sorted set by expiry (ms): claimants that wait for a task of this domain."""
        return f"{self._queue(task_type)}wait:{domain_index}"

    def wakes(self, task_type: str, domain_index: int = 0) -> str:
        """List of wake-up tokens of a domain: claimants block on it; never longer than there were waiters."""
        return f"{self._queue(task_type)}wake:{domain_index}"

    def task_keys(self, task_type: str) -> str:
        """Hash: task id -> what it shares the workers by and is limited by, and where it stands; where tasks have keys."""
        return self._queue(task_type) + "key"

    def key_uses(self, task_type: str) -> str:
        """Hash: key that limits -> how much of its limit is used, and how many tasks it keeps back."""
        return self._queue(task_type) + "use"

    def kept_back(self, task_type: str) -> str:
        """Sorted set, all scores 0: tasks whose key is at its limit, by key and in it in the order in which they will go."""
        return self._queue(task_type) + "kpt"

    def key_tokens(self, task_type: str) -> str:
        """Sorted set by time (ms): the rate-limit grants of every key that are not back."""
        return self._queue(task_type) + "spt"

    def turns(self, task_type: str, domain_index: int = 0) -> str:
        """Sorted set of a domain: which turn is next of each share, and how far each band of priority has come."""
        return f"{self._queue(task_type)}fin:{domain_index}"

    # --- event slot ------------------------------------------------------------------------------------------------

    def event_queue(self, event: str) -> str:
        """Stream of messages not yet handled, bounded. Publishers append; whoever has handled one deletes it."""
        return self._event(event) + "q"

    def event_message_ids(self, event: str) -> str:
        """Hash: message id -> entry id, of the messages in the queue. Written and cleared with them."""
        return self._event(event) + "ids"

    def event_executions(self, event: str) -> str:
        """Hash: ``<handler>\\n<execution id>`` -> packed record; bounded, with a TTL that every new one renews."""
        return self._event(event) + "x"

    def event_execution_times(self, event: str) -> str:
        """Sorted set by creation (ms): the fields of ``event_executions``; bounded with it."""
        return self._event(event) + "xt"

    def event_dead_letters(self, event: str) -> str:
        """Stream of messages that could not be handled, with the reason; trimmed by length."""
        return self._event(event) + "dlq"

    # --- slot of one gate: the rate limit of a workflow for one key ---------------------------------------------------

    def gate_inside(self, gate: str) -> str:
        """Sorted set by when somebody last looked for it (ms): executions that are in, reservations too."""
        return self._gate(gate) + "in"

    def gate_waiting(self, gate: str) -> str:
        """Sorted set by order of arrival: executions that wait to be let in."""
        return self._gate(gate) + "wait"

    def gate_runs(self, gate: str) -> str:
        """Hash: execution that is in or waits -> the run it is in or waits for."""
        return self._gate(gate) + "run"

    def gate_untold(self, gate: str) -> str:
        """Set: executions that were let in and may not have been told."""
        return self._gate(gate) + "new"

    def gate_reservations(self, gate: str) -> str:
        """Sorted set by expiry (ms): places kept for starts that are on their way."""
        return self._gate(gate) + "res"

    def gate_meta(self, gate: str) -> str:
        """Hash: the limit, the last order number."""
        return self._gate(gate) + "meta"

    def _gate(self, gate: str) -> str:
        return f"{self.namespace}:{{{self.namespace}.g:{gate}}}:"

    # --- slots of single outputs that later runs may reuse -----------------------------------------------------------

    def cached_output(self, cache_key: str) -> str:
        """String, with the life time its step says (a year at most): a packed output. Written by the relay."""
        return f"{self.namespace}:{{{self.namespace}.k:{cache_key}}}:out"

    # --- schedules slot --------------------------------------------------------------------------------------------

    def schedules(self) -> str:
        """Hash: name of a schedule -> JSON, without what is computed."""
        return self._schedules + "def"

    def schedules_next(self) -> str:
        """Hash: name of a schedule that is not paused or over -> its next due time (ms). Moved on when that has fired."""
        return self._schedules + "next"

    def schedules_looked_at(self) -> str:
        """Sorted set: names of schedules by when one is to be looked at (ms): its due time, or the end of a claim."""
        return self._schedules + "look"

    def schedules_last(self) -> str:
        """Hash: name of a schedule -> ``<due time> <id>`` of the execution that it started last. Goes with the schedule."""
        return self._schedules + "last"

    def schedules_meta(self) -> str:
        """Hash: ``paused`` when nothing is to be fired at all."""
        return self._schedules + "meta"

    def schedule_executions(self, name: str) -> str:
        """Hash: due time (ms) -> packed record of what became of it; bounded, goes with its schedule."""
        return f"{self._schedules}x:{name}"

    def schedule_execution_times(self, name: str) -> str:
        """Sorted set by due time: the fields of ``schedule_executions``; bounded with it."""
        return f"{self._schedules}xt:{name}"

    # --- slot of the jobs at RQ --------------------------------------------------------------------------------------

    def rq_jobs(self) -> str:
        """Hash: task id -> ``<since ms> <RQ queue>``, for every RQ task whose end is not known yet."""
        return self._jobs + "job"

    def rq_due(self) -> str:
        """Sorted set: the same tasks by when their job is to be looked at (ms)."""
        return self._jobs + "due"

    # --- access slot -----------------------------------------------------------------------------------------------

    def access_keys(self) -> str:
        """Hash: id of a key of the HTTP API -> JSON with its role and the hash of its secret; revoked ones stay."""
        return self._access + "keys"

    def access_meta(self) -> str:
        """Hash: ``signing``, what tokens are signed with; made with the first key."""
        return self._access + "meta"

    def access_audit(self) -> str:
        """Stream of changes: who did what, trimmed by length."""
        return self._access + "audit"

    def access_rate(self, key_id: str) -> str:
        """String, 2 s: when the next request of a key would be in step with its limit (ms)."""
        return f"{self._access}rate:{key_id}"

    # --- catalog slot ----------------------------------------------------------------------------------------------

    def installation(self) -> str:
        """Hash: partitions, schema, oldest_reader; written by the first process, checked by all."""
        return self._catalog + "meta"

    def workflow_versions(self, name: str) -> str:
        """Hash: version -> definition JSON of one workflow name."""
        return f"{self._catalog}wf:{name}"

    def workflow_names(self) -> str:
        """Hash: workflow name -> latest version."""
        return self._catalog + "wfs"

    def schema_versions(self, name: str) -> str:
        """Hash: version -> SchemaDef JSON of one schema name."""
        return f"{self._catalog}sc:{name}"

    def schema_names(self) -> str:
        """Hash: schema name -> latest version."""
        return self._catalog + "scs"

    def secrets(self) -> str:
        """Hash: name of a secret -> nonce and value, encrypted with a key that Redis never sees."""
        return self._catalog + "sec"

    def environment(self) -> str:
        """Hash: name -> value that expressions read as ``workflow.env.<name>``."""
        return self._catalog + "env"

    def task_definitions(self) -> str:
        """Hash: task definition name -> JSON."""
        return self._catalog + "td"

    def task_definition_revisions(self) -> str:
        """Sorted set by revision: task definition names, so that changes since a revision are one range."""
        return self._catalog + "tdrev"

    def revision(self) -> str:
        """String: counter of task definition changes."""
        return self._catalog + "rev"

    def event_handlers(self) -> str:
        """Hash: name of an event handler -> JSON."""
        return self._catalog + "eh"

    def webhooks(self) -> str:
        """Hash: id of a webhook -> JSON; its secrets are references."""
        return self._catalog + "wh"

    def event_sources(self) -> str:
        """Hash: ``<type>\\n<name>`` of an event queue -> its configuration as JSON."""
        return self._catalog + "es"

    def event_handlers_revision(self) -> str:
        """String: counter of changes of event handlers."""
        return self._catalog + "ehrev"

    def archive(self) -> str:
        """Hash: where the archive is (url, id), moves under way ``m<number>``, counters ``moves`` and ``restores``."""
        return self._catalog + "arc"

    def places(self) -> str:
        """Set: addresses and topics that news of listeners has ever been for."""
        return self._catalog + "places"

    def tags(self) -> str:
        """Set: JSON lists of kind, name, key, type and value of every tag."""
        return self._catalog + "tags"

    def deciders(self) -> str:
        """Sorted set by expiry (ms): ids of live deciders."""
        return self._catalog + "deciders"

    def queues(self) -> str:
        """Set: task types that have ever had a queue."""
        return self._catalog + "queues"

    def polls(self) -> str:
        """Hash: ``<task type>\\n<domain or nothing>`` -> ``<ms> <worker>`` of the last poll; bounded."""
        return self._catalog + "polls"

    def workers(self) -> str:
        """Hash: name of a worker -> what it last said of itself (MessagePack)."""
        return self._catalog + "workers"

    def workers_seen(self) -> str:
        """Sorted set by the time (ms) of its last beat: names of workers, until some time after they fell silent."""
        return self._catalog + "workersseen"

    def worker_orders(self) -> str:
        """Hash: name of a worker -> what it was told to do, until it is told to go on or is forgotten."""
        return self._catalog + "workerorders"

    # --- test clock ------------------------------------------------------------------------------------------------

    def partition_clock(self, partition: int) -> str:
        """String (ms): the time of a partition slot under a simulated clock. Never exists in production."""
        return clock_of(self.inbox(partition))

    def queue_clock(self, task_type: str) -> str:
        """String (ms): the time of a queue slot under a simulated clock. Never exists in production."""
        return clock_of(self.queue_meta(task_type))

    def event_clock(self, event: str) -> str:
        """String (ms): the time of an event slot under a simulated clock. Never exists in production."""
        return clock_of(self.event_queue(event))

    def schedules_clock(self) -> str:
        """String (ms): the time of the schedules' slot under a simulated clock. Never exists in production."""
        return clock_of(self._schedules)

    def rq_clock(self) -> str:
        """String (ms): the time of the slot of jobs under a simulated clock. Never exists in production."""
        return clock_of(self._jobs)

    def access_clock(self) -> str:
        """String (ms): the time of the access slot under a simulated clock. Never exists in production."""
        return clock_of(self._access)

    def catalog_clock(self) -> str:
        """String (ms): the time of the catalog slot under a simulated clock. Never exists in production."""
        return clock_of(self._catalog)

    def kind_of(self, key: str) -> KeyKind | None:
        """What this key is, or ``None`` when it is not ours: used by tests that look for leaked keys."""
        for prefix, kinds in _SLOTS:
            found = re.match(rf"{re.escape(self.namespace)}:\{{{re.escape(self.namespace)}\.{prefix}\}}:", key)
            if found:
                rest = key[found.end() :]
                return next((kind for kind in kinds if re.fullmatch(kind.pattern, rest, re.DOTALL)), None)
        return None

    def is_ours(self, key: str) -> bool:
        """Whether a key is, or could be, one of this installation: nobody else may name it."""
        return key.startswith(f"{self.namespace}:")

    def _event(self, event: str) -> str:
        prefix = self._events.get(event)
        if prefix is None:
            prefix = f"{self.namespace}:{{{self.namespace}.e:{event.translate(_TAG_BREAKERS)}}}:"
            self._events[event] = prefix
        return prefix

    def _queue(self, task_type: str) -> str:
        prefix = self._queues.get(task_type)
        if prefix is None:
            # A brace inside the tag would end it early and send the queue's keys to different slots.
            tag = task_type.translate(_TAG_BREAKERS)
            prefix = self._queues[task_type] = f"{self.namespace}:{{{self.namespace}.q:{tag}}}:"
        return prefix


def end_of_reads(wakes: str, reader: str) -> str:
    """List beside a list of wake-up tokens that ends the blocking read of one reader; only for that moment."""
    return wakes[: wakes.index("}:") + 2] + "end:" + reader


def clock_of(key: str) -> str:
    """The simulated clock of the slot that ``key`` lives in."""
    return key[: key.index("}:") + 2] + "simclock"


class KeyKind(NamedTuple):
    """One row of the map: the name within its slot, the Redis type, and its TTL in ms (0 = kept until removed)."""

    pattern: str
    type: str
    ttl_ms: int = 0


_PARTITION_KINDS = (
    KeyKind("own|defs|idem", "hash"),
    KeyKind("ev|ob|dlq", "stream"),
    KeyKind("tm", "zset"),
    KeyKind("[wd]:.+", "hash"),
    KeyKind("staged:.+", "hash", STAGED_TTL_MS),
    KeyKind("park:.+", "stream"),
    KeyKind("tomb:.+", "string", TOMBSTONE_TTL_MS),
    KeyKind("ans:.+", "string", ANSWER_TTL_MS),
    KeyKind("idx:[stcw]:.*", "zset"),
    KeyKind("simclock", "string"),
)
_QUEUE_KINDS = (
    KeyKind("(rdy|wait|fin):[0-9]+|dly|lea|kpt|spt", "zset"),
    KeyKind("hld", "set"),
    KeyKind("rec|meta|key|use", "hash"),
    KeyKind("tok|wake:[0-9]+", "list"),
    KeyKind("end:.+", "list", READ_END_TTL_MS),
    KeyKind("simclock", "string"),
)
_EVENT_KINDS = (
    KeyKind("q|dlq", "stream"),
    KeyKind("ids", "hash"),
    KeyKind("x", "hash", EXECUTION_TTL_MS),
    KeyKind("xt", "zset", EXECUTION_TTL_MS),
    KeyKind("simclock", "string"),
)
_CATALOG_KINDS = (
    KeyKind("meta|arc|wfs|scs|sec|env|td|eh|wh|es|polls|workers|workerorders|(wf|sc):.+", "hash"),
    KeyKind("tdrev|deciders|workersseen", "zset"),
    KeyKind("queues|places|tags", "set"),
    KeyKind("rev|ehrev|simclock", "string"),
)
_GATE_KINDS = (
    KeyKind("in|wait|res", "zset"),
    KeyKind("run|meta", "hash"),
    KeyKind("new", "set"),
    KeyKind("simclock", "string"),
)
_SCHEDULE_KINDS = (
    KeyKind("def|next|last|meta|x:.*", "hash"),
    KeyKind("look|xt:.*", "zset"),
    KeyKind("simclock", "string"),
)
_JOB_KINDS = (KeyKind("job", "hash"), KeyKind("due", "zset"), KeyKind("simclock", "string"))
_ACCESS_KINDS = (
    KeyKind("keys|meta", "hash"),
    KeyKind("audit", "stream"),
    KeyKind("rate:.+", "string", RATE_TTL_MS),
    KeyKind("simclock", "string"),
)
_CACHE_KINDS = (KeyKind("out", "string", CACHED_TTL_MS), KeyKind("simclock", "string"))
_SLOTS = (
    (r"k:[0-9a-f]+", _CACHE_KINDS),
    (r"g:[0-9a-f]+", _GATE_KINDS),
    (r"p[0-9]+", _PARTITION_KINDS),
    (r"q:[^{}]*", _QUEUE_KINDS),
    (r"e:[^{}]*", _EVENT_KINDS),
    ("s", _SCHEDULE_KINDS),
    ("j", _JOB_KINDS),
    ("a", _ACCESS_KINDS),
    ("c", _CATALOG_KINDS),
)
