"""The lives of callers: they start workflows, operate on them, look at them; one repairs at the end what was left.

A caller that gets no answer repeats the same request with the same ids, as real clients must.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from orchestrator.codec import pack, unpack
from orchestrator.engine.starts import Start, send_starts
from orchestrator.engine.views import load_view
from orchestrator.errors import StoreUnavailable
from orchestrator.model.records import FORMAT, Meta
from orchestrator.model.wire import task_def_to_dict, workflow_def_to_dict
from orchestrator.plan import Plan
from orchestrator.store import catalog, installation, partition, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import StartReply
from orchestrator.store.quarantine import unpark
from orchestrator.store.queue_values import Limits
from orchestrator.store.view import remove
from tests.simulation import hooks, mailbox
from tests.simulation.disk import Disk
from tests.simulation.ledger import ENDED
from tests.simulation.life import Act, Life, Part, Sleep, Surroundings
from tests.simulation.workload import DOMAIN, Order

STATUSES = ("RUNNING", "PAUSED", "COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED")
ANSWER_POLLS = 40
POISON = b"\xc1"  # a byte that MessagePack never uses


def install(world: Surroundings) -> Life:
    """Register what the seed works with."""
    store = world.store()

    def plan() -> Plan[None]:
        yield installation.check_installation(store.keys)
        for definition in world.workload.registered:
            body = msgspec.json.encode(workflow_def_to_dict(definition))
            yield catalog.register_workflow(store.keys, definition.name, 1, body, overwrite=True)
        for name, task_def in world.workload.task_defs.items():
            yield catalog.put_task_definition(store.keys, name, msgspec.json.encode(task_def_to_dict(task_def)))
        if world.workload.is_hooked:
            yield from hooks.install(store)

    yield from _insist(plan)


def client_life(world: Surroundings, order: Order, name: str) -> Life:
    """Start one workflow and do with it what the order says."""
    rng = world.random_of(name)
    store = world.store()
    ledger = world.ledger
    yield Sleep(order.begins_ms)
    if order.workflow_id in ledger.removals:
        # A start would bring it back to life; whoever was to remove it may have died over it.
        if any(action == "remove" for _, action in order.actions):
            yield from _remove(world, store, order.workflow_id, "")
        return
    company = _company(world, order, name)
    while True:
        along = [one for one in company if one.workflow_id not in ledger.removals]
        try:
            reply, *_ = yield from send_starts(store, [_start_of(one) for one in (order, *along)])
            if isinstance(reply, StartReply):
                break
        except StoreUnavailable:
            pass
        yield Sleep(rng.randrange(5, 100))
    ledger.note_ack(order, reply.verdict, reply.workflow_id)
    if reply.verdict != "OK":
        return
    for delay_ms, action in order.actions:
        yield Sleep(delay_ms)
        await_word = _ACTIONS[action]
        yield from await_word(world, store, order.workflow_id, f"{order.request_id}-{action}")


def _company(world: Surroundings, order: Order, name: str) -> list[Order]:
    """Other callers' starts that this one sends along, so that one script has several; a removed one must not come back."""
    rng, keys = world.random_of(f"{name} company"), world.store().keys
    number = keys.partition_of(order.workflow_id)
    others = [
        one
        for one in world.workload.orders
        if one is not order
        and keys.partition_of(one.workflow_id) == number
        and all(action != "remove" for _, action in one.actions)
    ]
    return rng.sample(others, min(len(others), 2)) if rng.random() < 0.3 else []


def _start_of(order: Order) -> Start:
    meta = Meta(
        FORMAT,
        order.resolved.name,
        order.resolved.version,
        order.resolved.hash,
        priority=order.priority,
        task_to_domain={"plain": DOMAIN, "limited": DOMAIN} if order.domain else {},
    )
    given = Raw(pack(order.input))
    return Start(order.workflow_id, order.request_id, order.resolved, meta, given, order.idempotency_field)


def _insist(plan: Callable[[], Plan[Any]]) -> Life:
    """Repeat a plan until no reply of it is lost."""
    while True:
        try:
            yield from plan()
            return
        except StoreUnavailable:
            yield Sleep(20)


def _operate(
    world: Surroundings, store: StoreContext, workflow_id: str, request_id: str, action: str, arguments: dict[str, Any]
) -> Part[Any]:
    """Send one request until it is answered; gives the answer, or None after too long a time."""
    number = store.keys.partition_of(workflow_id)
    for _ in range(ANSWER_POLLS):
        try:
            reply = yield partition.request(store.keys, number, workflow_id, request_id, action, arguments)
            if reply.state == "UNKNOWN":
                return None
            if reply.state == "ANSWERED":
                world.ledger.note_answer(request_id, reply.answer)
                return unpack(reply.answer)
            answer = yield partition.read_answer(store.keys, number, request_id)
            if answer:
                world.ledger.note_answer(request_id, answer)
                return unpack(answer)
        except StoreUnavailable:
            pass
        yield Sleep(60)
    return None


def _ask(action: str) -> Callable[[Surroundings, StoreContext, str, str], Life]:
    def life(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
        yield from _operate(world, store, workflow_id, request_id, action, {"reason": "by order"})

    return life


def _signal(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    for attempt in range(20):
        answer = yield from _operate(
            world, store, workflow_id, f"{request_id}-{attempt}", "signal", {"name": "go", "payload": {"said": "go"}}
        )
        if answer is None or answer.get("ok") or answer["error"] == "CONFLICT":
            return
        yield Sleep(400)


def _look(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    try:
        shown = yield from load_view(store.keys, workflow_id)
        world.ledger.note_view(workflow_id, shown)
    except StoreUnavailable:
        return
    except msgspec.MsgspecError:
        if workflow_id not in world.ledger.poisoned:
            raise


def _remove(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Remove the workflow by force, whatever it is doing."""
    while world.travelling("start", workflow_id):
        yield Sleep(100)
    world.ledger.removals.add(workflow_id)
    if world.ledger.runs[workflow_id].name == hooks.NAME:
        yield from _insist(partial(hooks.remove, store, workflow_id))
        return
    number, keys = store.keys.partition_of(workflow_id), store.keys
    indexes = [keys.by_status(number, status) for status in STATUSES]
    indexes.append(keys.by_name(number, world.ledger.runs[workflow_id].name))

    def plan() -> Plan[None]:
        yield remove(keys, number, workflow_id, indexes=indexes, force=True)

    yield from _insist(plan)


def _poison(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Damage the workflow's record: who has it in memory goes on, everybody else must set it aside."""
    key = store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)

    def vandalise(disk: Disk) -> None:
        (core,) = disk.ask([("HGET", key, "c")])
        if core is not None and core != POISON and world.ledger.runs[workflow_id].status == "RUNNING":
            disk.ask([("HSET", key, "c", POISON)])
            world.ledger.poisoned[workflow_id] = core

    yield Act(vandalise)


def _end_child(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Terminate a child of the workflow, if it has one that runs."""
    for attempt in range(20):
        found = [run for run in world.ledger.runs.values() if run.parent_id == workflow_id and run.status == "RUNNING"]
        if found:
            yield from _operate(world, store, found[0].workflow_id, f"{request_id}-{attempt}", "terminate", {})
            return
        yield Sleep(100)


def _child_again(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Let a child that has ended start over; one that runs is ended first."""
    yield from _end_child(world, store, workflow_id, f"{request_id}-end")
    rng = world.random_of(request_id)
    for attempt in range(rng.choice((1, 1, 2))):
        ended = [run for run in world.ledger.runs.values() if run.parent_id == workflow_id and run.status in ENDED]
        if ended:
            chosen = rng.choice(sorted(run.workflow_id for run in ended))
            yield from _operate(world, store, chosen, f"{request_id}-{attempt}", "restart", {})
        yield Sleep(rng.choice((5, 60, 400, 900)))


def _push(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Push some messages, one after the other."""
    for number in range(mailbox.MESSAGES):
        yield from _push_one(world, store, workflow_id, number)
        yield Sleep(world.random_of(f"{request_id}-{number}").choice((0, 1, 30, 300)))


def _push_one(world: Surroundings, store: StoreContext, workflow_id: str, number: object) -> Life:
    name = mailbox.message_id(workflow_id, number)
    arguments = {"message_id": name, "payload": {"number": str(number)}}
    yield from _operate(world, store, workflow_id, name, "push_message", arguments)


def _hurry(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
    """Let delayed tasks run now, again and again."""
    for attempt in range(8):
        answer = yield from _operate(world, store, workflow_id, f"{request_id}-{attempt}", "reset_callbacks", {})
        if answer is None or not answer.get("ok"):
            return
        yield Sleep(150)


def _go_on(action: str) -> Callable[[Surroundings, StoreContext, str, str], Life]:
    """Make the workflow go on as soon as it has ended: by a retry, from one of its tasks, or from the beginning."""

    def life(world: Surroundings, store: StoreContext, workflow_id: str, request_id: str) -> Life:
        rng = world.random_of(request_id)
        for attempt in range(6):
            run = world.ledger.runs.get(workflow_id)
            refs = sorted(name[1:] for name in run.records if name[0] == "S" and "\n" not in name) if run else []
            arguments = {"ref": rng.choice(refs)} if refs and action == "rerun" else {}
            answer = yield from _operate(world, store, workflow_id, f"{request_id}-{attempt}", action, arguments)
            if answer is None or answer.get("ok"):
                return
            yield Sleep(rng.choice((20, 300, 900)))

    return life


_ACTIONS: dict[str, Callable[[Surroundings, StoreContext, str, str], Life]] = {
    "pause": _ask("pause"),
    "resume": _ask("resume"),
    "terminate": _ask("terminate"),
    "push": _push,
    "signal": _signal,
    "remove": _remove,
    "poison": _poison,
    "look": _look,
    "retry": _go_on("retry"),
    "rerun": _go_on("rerun"),
    "restart": _go_on("restart"),
    "hurry": _hurry,
    "end_child": _end_child,
    "child_again": _child_again,
}


def tuner_life(world: Surroundings, name: str) -> Life:
    """An operator who changes a limit and a definition while everything runs."""
    rng = world.random_of(name)
    store = world.store()
    yield Sleep(rng.randrange(200, 3000))
    limit = rng.choice((1, 2, 3))
    task_def = msgspec.structs.replace(world.workload.task_defs["limited"], concurrent_exec_limit=limit)

    is_keyed = bool(task_def.limit_key)

    def plan() -> Plan[None]:
        stored = yield catalog.put_task_definition(
            store.keys, "limited", msgspec.json.encode(task_def_to_dict(task_def))
        )
        yield from queue.set_limits(
            store.queues, "limited", Limits(stored.revision, concurrency=limit, per_key=is_keyed)
        )
        body = msgspec.json.encode(workflow_def_to_dict(world.workload.cleanup))
        yield catalog.register_workflow(store.keys, world.workload.cleanup.name, 2, body)

    yield from _insist(plan)


def keeper_life(world: Surroundings, name: str) -> Life:
    """An operator who mends what was set aside and lets it go on, while everything runs and afterwards."""
    store = world.store()
    ledger, keys = world.ledger, store.keys
    while True:
        yield Sleep(300)
        chosen = [run.workflow_id for run in ledger.runs.values() if not run.is_removed]
        # Now and then one is unparked that was not set aside: that must do nothing.
        for workflow_id in [wid for wid in chosen if wid in ledger.quarantined or world.faults.chance(0.03)]:
            yield Act(partial(_mend, world, keys.workflow(keys.partition_of(workflow_id), workflow_id), workflow_id))
            try:
                yield unpark(keys, keys.partition_of(workflow_id), workflow_id)
            except StoreUnavailable:
                break


def healer_life(world: Surroundings, name: str) -> Life:
    """After the faults: resume what was left paused, signal what waits, send messages."""
    store = world.store()
    ledger = world.ledger
    round_ = 0
    while True:
        round_ += 1
        for workflow_id, run in list(ledger.runs.items()):
            if workflow_id in ledger.removals:
                continue
            if run.status == "PAUSED":
                yield from _operate(world, store, workflow_id, f"heal-{round_}-{workflow_id}", "resume", {})
            elif run.status == "RUNNING" and (workflow_id in world.workload.signals or ledger.waits_for_word(run)):
                arguments = {"name": "go", "payload": {"said": "late"}}
                yield from _operate(world, store, workflow_id, f"heal-{round_}-{workflow_id}", "signal", arguments)
            elif run.status == "RUNNING" and run.name == mailbox.NAME:
                yield from _push_one(world, store, workflow_id, f"heal-{round_}")
        if any(run.status == "RUNNING" and run.name == hooks.NAME for run in ledger.runs.values()):
            for lane in hooks.LANES:
                yield from hooks.deliver(world, store, hooks.HUB, f"heal-{round_}-{lane}", lane, "last")
        yield Sleep(900)


def _mend(world: Surroundings, key: str, workflow_id: str, disk: Disk) -> None:
    (core,) = disk.ask([("HGET", key, "c")])
    if core == POISON:
        disk.ask([("HSET", key, "c", world.ledger.poisoned[workflow_id])])
