"""Who runs tasks: workers that live, and what they are told from afar: to pause, to go on, to end after what they have.

A worker says what it is with the beat by which it is seen, and hears with the answer what it was told, so an order takes a few
seconds and costs nothing. Called by workers, and by operators through every face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.model.workers import WorkerInfo, WorkerState
from orchestrator.plan import Plan
from orchestrator.service import poll_data
from orchestrator.service.poll_data import Seen
from orchestrator.store import workers
from orchestrator.store.context import StoreContext
from orchestrator.store.workers import SILENT_MS, Noted


class Order(StrEnum):
    """What a worker was told to do."""

    GO_ON = "GO_ON"
    PAUSE = "PAUSE"
    DRAIN = "DRAIN"


def beat(
    store: StoreContext, worker: WorkerInfo, seen: Mapping[tuple[str, str | None], Seen], now_s: float
) -> Plan[Order]:
    """Say that a worker lives, what it does and which queues it asks; gives what it was told to do. One round trip."""
    calls = [workers.beat(store.keys, worker.name, msgspec.msgpack.encode(worker))]
    if seen:
        calls.append(poll_data.note(store, seen, now_s))
    order, *_ = yield calls
    return Order(order or Order.GO_ON)


def say(store: StoreContext, worker: WorkerInfo) -> Plan[str]:
    """As ``beat``, for a worker whose polls somebody else has seen; the order as text."""
    return str((yield from beat(store, worker, {}, 0.0)))


def leave(store: StoreContext, name: str) -> Plan[None]:
    """Say that a worker has ended."""
    yield workers.leave(store.keys, name)


def list_workers(store: StoreContext, task_type: str | None = None) -> Plan[list[WorkerInfo]]:
    """The workers that live, and those that fell silent within the last ten minutes (LOST), by name.

    ``task_type``: only those that run it. Example: ``client.workers("charge")[0].held``
    """
    noted: list[Noted] = yield workers.read(store.keys)
    found = [_info(one) for one in noted]
    return [one for one in found if task_type is None or _serves(one, task_type)]


def get(store: StoreContext, name: str) -> Plan[WorkerInfo]:
    """One worker. Raises ``NotFound`` for one that nobody has heard of lately."""
    found = next((one for one in (yield from list_workers(store)) if one.name == name), None)
    if found is None:
        raise _unknown(name)
    return found


def pause(store: StoreContext, names: Sequence[str] = (), task_type: str | None = None) -> Plan[list[str]]:
    """Have workers claim nothing more until they are resumed; what they run goes on. Gives the names of all told.

    The workers are named, or are all that live and run ``task_type``; one that is started later is not paused. Raises
    ``NotFound`` when one of them does not live or none runs it, ``InvalidRequest`` for neither names nor type.
    """
    return (yield from _tell(store, Order.PAUSE, names, task_type))


def resume(store: StoreContext, names: Sequence[str] = (), task_type: str | None = None) -> Plan[list[str]]:
    """Have paused workers claim again; those that drain do not. Names, types and errors as for ``pause``."""
    return (yield from _tell(store, Order.GO_ON, names, task_type))


def drain(store: StoreContext, names: Sequence[str] = (), task_type: str | None = None) -> Plan[list[str]]:
    """Have workers end: no new tasks, running ones end first, exit status 0. Names, types and errors as for ``pause``."""
    return (yield from _tell(store, Order.DRAIN, names, task_type))


def _tell(store: StoreContext, order: Order, names: Sequence[str], task_type: str | None) -> Plan[list[str]]:
    if bool(names) == (task_type is not None):
        raise InvalidRequest("say which workers: by their names, or all that run a task type")
    if task_type is not None:
        found = yield from list_workers(store, task_type)
        names = [one.name for one in found if one.state is not WorkerState.LOST]
        if not names:
            raise NotFound(f"no worker that lives runs tasks of type {task_type}; see: orchestrator workers list")
    told: list[str] = yield workers.tell(store.keys, list(names), "" if order is Order.GO_ON else order)
    missing = [name for name in names if name not in told]
    if missing and task_type is None:
        raise _unknown(*missing)
    return told


def _unknown(*names: str) -> NotFound:
    return NotFound(f"no worker {', '.join(names)} lives; see: orchestrator workers list")


def _info(noted: Noted) -> WorkerInfo:
    info = msgspec.msgpack.decode(noted.record, type=WorkerInfo)
    state = WorkerState.LOST if noted.silent_ms > SILENT_MS else info.state
    return replace(info, state=state, silent_ms=noted.silent_ms, order=noted.order or None)


def _serves(worker: WorkerInfo, task_type: str) -> bool:
    return any(one.name == task_type for one in worker.task_types)
