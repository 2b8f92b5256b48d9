"""One installation with deciders and workers that move only when a test says so, on a clock that stands still.

Plans are driven step by step, so a test can look between two steps, break one, or let a decider die there. Every step is
counted. Called by the tests of this folder; it knows of the engine what its callers know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from orchestrator import codec, ids
from orchestrator.engine.decider import Decider
from orchestrator.engine.starts import Start, resolve_definition, send_starts
from orchestrator.engine.views import load_view
from orchestrator.model.definitions import TaskDef, WorkflowDef, WorkflowTask
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.records import FORMAT, Meta, Outcome, encode
from orchestrator.plan import Call, Command, Plan, Receive, Send, Step
from orchestrator.service import dispatch, metadata
from orchestrator.settings import Settings
from orchestrator.store import dispatch as truth
from orchestrator.store import partition
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext
from orchestrator.store.keys import clock_of
from orchestrator.store.verdicts import Verdict

NOON = 4_000_000_000_000  # later than any server's clock
TURNS_MAX = 400

Hook = Callable[[Sequence[Call | Command]], Any]
"""Called with each pipeline before it is sent; what it returns, other than None, is the store's answer instead."""


class Died(BaseException):
    """The process under test ends here: raised by hooks, and like a real death never seen by the product's handlers."""


class Stage:
    """One installation of a few partitions; ``declared_clock=False`` for real processes, which go by the server's."""

    def __init__(self, url: str, partitions: int = 2, *, declared_clock: bool = True, **settings: Any) -> None:
        self.settings = Settings(redis_url=url, partitions=partitions, **settings)
        self.connection: Connection = connect(url, self.settings, declared_clock=declared_clock)
        self.store = StoreContext(self.settings)
        self.keys = self.store.keys
        self.now = NOON
        self.commands = 0  # commands and scripts sent, clocks not counted
        self.trips = 0  # pipelines sent
        self.before: Hook | None = None
        self._executor = self.connection.sync()
        self._clocks: dict[str, int] = {}
        self._numbers = itertools.count(1)

    # --- plans ----------------------------------------------------------------------------------------------------

    def do(self, step: Step) -> Any:
        """One step, on clocks that show ``now``."""
        if isinstance(step, Receive):
            return step.token
        if isinstance(step, Send):
            step = step.steps
        steps: Sequence[Any] = [step] if isinstance(step, Call | Command) else list(step)
        instead = self.before(steps) if self.before is not None else None
        if instead is not None:
            return instead
        self.commands += len(steps)
        self.trips += 1
        if self.connection.profile.declared_clock:
            self._set_clocks({clock_of(one.keys[0]) for one in steps if isinstance(one, Call)})
        return self._executor.do(step)

    def _set_clocks(self, names: set[str]) -> None:
        for name in names:
            if self._clocks.get(name) != self.now:
                self._executor.do(Command(("SET", name, self.now)))
                self._clocks[name] = self.now

    def run(self, plan: Plan[Any]) -> Any:
        """A whole plan; raises what it raises. A ``Died`` hook ends it where it stands."""
        try:
            step = next(plan)
            while True:
                try:
                    reply = self.do(step)
                except Died:
                    plan.close()
                    raise
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            return stop.value

    def tick(self, ms: int, *deciders: Decider) -> None:
        """Let time pass, for the store and for these deciders, which estimate it."""
        self.now += ms
        for decider in deciders:
            decider.clock_ms = self.now

    # --- deciders ---------------------------------------------------------------------------------------------------

    def decider(self, name: str = "d1") -> Decider:
        """A fresh decider with its partitions."""
        decider = Decider(StoreContext(self.settings), name)
        self.run(decider.beat())
        decider.clock_ms = self.now
        return decider

    def retry_all(self, decider: Decider) -> None:
        """Take what is in the inboxes as events that were read some time ago and are tried again."""
        self.run(decider.redrive())
        found = self.run(decider.read())
        for estate, entries in found:
            estate.retry = list(entries)
        self.run(decider.advance([(estate, []) for estate, _ in found]))

    def settle(self, *deciders: Decider) -> None:
        """Turn after turn until nothing moves any more."""
        for _ in range(TURNS_MAX):
            moved = 0
            for decider in deciders:
                moved += self.run(decider.turn())
                moved += any(e.retry or e.redrive for e in decider.estates.values())
            if not moved:
                for decider in deciders:
                    self.run(decider.flush())
                return
        raise AssertionError(f"still busy after {TURNS_MAX} turns")

    # --- clients ----------------------------------------------------------------------------------------------------

    def start(
        self,
        definition: WorkflowDef,
        input: dict[str, Any] | None = None,
        *,
        number: int = 0,
        **meta: Any,
    ) -> str:
        """Start an execution in partition ``number``; gives its id."""
        index = next(self._numbers)
        workflow_id = ids.new_workflow_id(number, self.now, index.to_bytes(8, "big"))
        resolved = resolve_definition(definition)
        about = Meta(FORMAT, definition.name, definition.version, resolved.hash, **meta)
        start = Start(workflow_id, f"r{index}", resolved, about, Raw(codec.pack(input or {})))
        (reply,) = self.run(send_starts(self.store, [start]))
        assert reply.verdict == "OK", reply
        return workflow_id

    def register(self, definition: WorkflowDef | TaskDef) -> None:
        """Put a definition into the catalog, over an older one."""
        if isinstance(definition, TaskDef):
            self.run(metadata.put_task_def(self.store, definition))
        else:
            self.run(metadata.register_workflow(self.store, definition, overwrite=True))

    def ask(self, workflow_id: str, action: str, request_id: str = "", **arguments: Any) -> str:
        """Send a request; gives its id."""
        request_id = request_id or f"ask{next(self._numbers)}"
        number = self.keys.partition_of(workflow_id)
        self.do(partition.request(self.keys, number, workflow_id, request_id, action, arguments))
        return request_id

    def answer(self, workflow_id: str, request_id: str) -> Any:
        """The answer to a request; None while it is pending."""
        body = self.do(partition.read_answer(self.keys, self.keys.partition_of(workflow_id), request_id))
        return codec.unpack(body) if body else None

    # --- workers ----------------------------------------------------------------------------------------------------

    def claim(self, task_type: str, count: int = 100, domain: str | None = None) -> list[dispatch.TaskToRun]:
        """Tasks that a worker may run, claimed and confirmed by their partitions."""
        reply = self.run(dispatch.claim_tasks(self.store, [dispatch.Want(task_type, domain, count)], "worker"))
        assert not reply.failures
        answers = self.run(dispatch.start_tasks(self.store, reply.claimed, "worker"))
        return [answer for answer in answers if isinstance(answer, dispatch.TaskToRun)]

    def report(self, tasks: Sequence[dispatch.TaskToRun], output: Any = None, status: str = "COMPLETED") -> list[str]:
        """The outcome of claimed tasks; gives the partitions' words, and the leases back."""
        outcome = Outcome(FORMAT, status, reason=None if status == "COMPLETED" else "on purpose")
        if output is not None:
            outcome = msgspec.structs.replace(outcome, output=Raw(codec.pack(output)))
        reports = [dispatch.Report(task.claimed, outcome) for task in tasks]
        judged = self.run(dispatch.report_tasks(self.store, reports, "worker"))
        releases = [one.release for one in judged if one.release is not None]
        self.run(dispatch.claim_tasks(self.store, [], "worker", settle=releases))
        return [one.word for one in judged]

    def work(self, task_type: str, output: Any = None, status: str = "COMPLETED") -> int:
        """Claim, run and report what is ready of a type; gives how many that were."""
        tasks = self.claim(task_type)
        self.report(tasks, output, status)
        return len(tasks)

    def accept(self, task_id: str, output: Any = None, status: str = "COMPLETED") -> Verdict:
        """An outcome from outside, by task id."""
        outcome = Outcome(FORMAT, status, output=Raw(codec.pack({} if output is None else output)))
        number = self.keys.partition_of(ids.workflow_id_of(task_id))
        report = truth.Report(task_id, truth.OUTSIDE, True, encode(outcome))
        (verdict,) = self.do(truth.accept(self.keys, number, "outside", [report]))
        return Verdict(verdict)

    # --- looking ------------------------------------------------------------------------------------------------------

    def view(self, workflow_id: str) -> Workflow:
        """An execution as users see it."""
        found = self.run(load_view(self.keys, workflow_id))
        assert found is not None
        return found  # type: ignore[no-any-return]  # plans are run untyped here

    def status(self, workflow_id: str) -> str:
        """Its status."""
        return str(self.view(workflow_id).status)

    def tasks(self, workflow_id: str, ref: str) -> list[Task]:
        """The attempts of one task."""
        return [task for task in self.view(workflow_id).tasks if task.reference_task_name == ref]

    def task_id(self, workflow_id: str, ref: str, attempt: int = 0) -> str:
        """The id of an attempt."""
        return ids.task_id(workflow_id, ref, 0, attempt, 0)

    def field(self, workflow_id: str, name: str) -> bytes | None:
        """One stored field of a workflow."""
        value: bytes | None = self.do(Command(("HGET", self.workflow_key(workflow_id), name)))
        return value

    def workflow_key(self, workflow_id: str) -> str:
        """The key of its record."""
        return self.keys.workflow(self.keys.partition_of(workflow_id), workflow_id)

    def count(self, key: str) -> int:
        """How many entries a stream has."""
        return int(self.do(Command(("XLEN", key))))

    def inbox(self) -> int:
        """Events that wait in all partitions."""
        return sum(self.count(self.keys.inbox(n)) for n in range(self.settings.partitions))

    def outbox(self) -> int:
        """Hand-offs that wait in all partitions."""
        return sum(self.count(self.keys.outbox(n)) for n in range(self.settings.partitions))

    def dead_letters(self, number: int = 0) -> list[str]:
        """Why events of a partition were put to the dead letters."""
        entries = self.do(Command(("XRANGE", self.keys.dead_letters(number), "-", "+")))
        return [dict(zip(item[1][::2], item[1][1::2], strict=True))[b"reason"].decode() for item in entries]

    def spoil(self, key: str) -> None:
        """Put foreign data under ``key``."""
        self.do([Command(("DEL", key)), Command(("SET", key, "foreign"))])

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()


def step(ref: str, **options: Any) -> WorkflowTask:
    """A worker's task; its queue is called like the part of the reference before the first digit."""
    name = options.pop("name", ref.rstrip("0123456789"))
    return WorkflowTask(name=name, task_reference_name=ref, **options)


def flow(*tasks: WorkflowTask, name: str = "flow", **options: Any) -> WorkflowDef:
    """A workflow of these tasks."""
    return WorkflowDef(name=name, tasks=list(tasks), **options)


def forked(width: int, **options: Any) -> WorkflowDef:
    """A fork of ``width`` tasks ``b00000``..., and a join; all have the queue ``b``."""
    names = [f"b{number:05}" for number in range(width)]
    fork = WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN", fork_tasks=[[step(one)] for one in names])
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN", join_on=names)
    return flow(fork, join, name="forked", **options)


def chained(length: int, **options: Any) -> WorkflowDef:
    """A chain of ``length`` tasks ``a00000``..., each reading the one before; all have the queue ``a``."""
    names = [f"a{number:05}" for number in range(length)]
    reads = [{}, *({"before": f"${{{one}.output.v}}"} for one in names[:-1])]
    tasks = [step(one, input_parameters=given) for one, given in zip(names, reads, strict=True)]
    return flow(*tasks, name="chained", **options)


def has_script(steps: Sequence[Call | Command], name: str) -> bool:
    """Whether one of these steps runs that script."""
    return any(isinstance(one, Call) and one.script == name for one in steps)


def once(script: str, action: Callable[[], None]) -> Hook:
    """A hook that acts before the first pipeline that runs ``script``."""
    waiting: Iterator[int] = iter([1])

    def hook(steps: Sequence[Call | Command]) -> None:
        if has_script(steps, script) and next(waiting, None):
            action()

    return hook
