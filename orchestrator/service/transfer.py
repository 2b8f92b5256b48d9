"""Executions as files: export one with all its records, import one that has ended, under its own id or a new one.

The file holds the execution twice: as everybody sees it, for people and for ``orchestrator.testing.replay``, and as the
stored records, byte for byte, for the import; payloads that are kept outside Redis are in it. What was masked for the
view stands in the records as it is: treat the file like the store.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from orchestrator import ids
from orchestrator.archive import shelf
from orchestrator.engine.views import load_view
from orchestrator.errors import Conflict, InvalidRequest, StoreUnavailable
from orchestrator.model.records import decode_core, decode_meta, decode_result, decode_scheduled, encode
from orchestrator.model.status import is_terminal
from orchestrator.model.wire import workflow_to_dict
from orchestrator.plan import Plan
from orchestrator.service.workflows import fetch_payload, unknown_workflow
from orchestrator.store import transfer
from orchestrator.store.context import StoreContext
from orchestrator.store.keys import STATE_FIELDS
from orchestrator.store.partition import load_definition

FORMAT = "orchestrator-execution"
FORMAT_VERSION = 1

_PAYLOADS = frozenset({"i", "o", "x"})
"""Fields that hold a payload, which may be kept elsewhere."""

_RECORDS = ("S", "R", "M")
"""What the names of records begin with: tasks as they were scheduled and how they ended, messages."""

_LEFT_BEHIND = frozenset({"q", "qe", "qm", "qt", "qu", "rid"})
"""Fields of the store it came from: quarantine, and the request that started it."""


def export_execution(store: StoreContext, workflow_id: str) -> Plan[dict[str, Any]]:
    """An execution as a JSON document. Raises ``WorkflowNotFound`` and ``InvalidRequest`` for one that is too large.

    Example: ``json.dump(executor.run(export_execution(store, workflow_id)), file)``
    """
    raw = yield from transfer.read_raw(store.keys, workflow_id)
    view = yield from load_view(store.keys, workflow_id, fetch=partial(fetch_payload, store))
    body: bytes | None = None
    if raw is None or view is None:
        kept = yield from shelf.look_up(store, [workflow_id])
        fetch = partial(fetch_payload, store)
        view = yield from shelf.archived_view(store, workflow_id, include_tasks=True, fetch=fetch)
        if not kept or view is None:
            raise unknown_workflow(workflow_id)
        raw, body = transfer.RawWorkflow(kept[0].fields, kept[0].tasks), kept[0].definition
    raw = _with_payloads(raw, store.payloads.fetched)
    transfer.require_bounded(workflow_id, raw.tasks)
    meta = decode_meta(raw.fields["m"])
    if body is None:
        body = yield load_definition(store.keys, store.keys.partition_of(workflow_id), meta.definition_hash)
    return {
        "format": FORMAT,
        "formatVersion": FORMAT_VERSION,
        "workflow": workflow_to_dict(view),
        "records": {
            "definition": _text(body or b""),
            "fields": {name: _text(value) for name, value in raw.fields.items() if name not in _LEFT_BEHIND},
            "tasks": {name: _text(value) for name, value in raw.tasks.items()},
        },
    }


def import_execution(
    store: StoreContext, document: Mapping[str, Any], *, workflow_id: str | None = None, is_new: bool = False
) -> Plan[str]:
    """Store an exported execution that has ended, to be looked at or acted on like any other; gives its id.

    Under its own id, under ``workflow_id``, or with ``is_new`` under a fresh one. Its sub-workflows are executions of their
    own and stay where they are. Raises ``InvalidRequest`` for a document that is none or has not ended, ``Conflict`` for an
    id that is taken.
    """
    raw, body, old_id = _read(document)
    core, meta = decode_core(raw.fields["c"]), decode_meta(raw.fields["m"])
    if not is_terminal(core.status):
        raise InvalidRequest(
            f"workflow {old_id} was {core.status} when it was exported; only one that has ended can be imported, but any "
            "can be replayed with orchestrator.testing.replay"
        )
    start_ms = core.created_ms
    new_id = workflow_id or (ids.new_workflow_id(_partition(store), start_ms, os.urandom(8)) if is_new else old_id)
    if new_id != old_id:
        raw = _renamed(raw, old_id, new_id)
    raw = _with_payloads(raw, partial(store.payloads.moved_out, new_id))
    keys, number = store.keys, store.keys.partition_of(new_id)
    staged_as = f"import-{os.urandom(8).hex()}"
    for piece in transfer.stage(keys, number, staged_as, raw.tasks):
        for reply in (yield piece):
            if isinstance(reply, Exception):
                raise reply
    indexes = [keys.by_status(number, core.status), keys.by_name(number, meta.name)]
    if meta.correlation_id:
        indexes.append(keys.by_correlation(number, meta.correlation_id))
    answer = yield transfer.import_workflow(
        keys,
        number,
        new_id,
        staged_as=staged_as,
        staged=len(raw.tasks),
        start_ms=start_ms,
        definition_hash=meta.definition_hash,
        definition_body=body,
        fields={**raw.fields, "rid": b"import"},
        indexes=indexes,
    )
    if answer == "LOST":
        raise StoreUnavailable(f"Redis lost records of workflow {new_id} while they were sent to it; repeat the import")
    if answer != "OK":
        raise Conflict(
            f"there is an execution {new_id} already; import it under a new id (--new-id), or remove that one"
        )
    return new_id


def _partition(store: StoreContext) -> int:
    return int.from_bytes(os.urandom(2), "big") % store.keys.partitions


def _with_payloads(raw: transfer.RawWorkflow, change: Callable[[bytes], bytes]) -> transfer.RawWorkflow:
    """The same records with every payload as ``change`` gives it: fetched from elsewhere, or moved there."""
    fields = {name: change(value) if name in _PAYLOADS else value for name, value in raw.fields.items()}
    tasks = {}
    for name, value in raw.tasks.items():
        if name.startswith("S"):
            scheduled = decode_scheduled(value)
            given = bytes(scheduled.input)
            if (changed := change(given)) != given:
                value = encode(msgspec.structs.replace(scheduled, input=msgspec.Raw(changed)))
        elif name.startswith("R"):
            result = decode_result(value)
            given = bytes(result.output)
            if (changed := change(given)) != given:
                value = encode(msgspec.structs.replace(result, output=msgspec.Raw(changed)))
        tasks[name] = value
    return transfer.RawWorkflow(fields, tasks)


def _renamed(raw: transfer.RawWorkflow, old_id: str, new_id: str) -> transfer.RawWorkflow:
    """Task ids begin with the workflow's; where a record holds one, it is the new one's from now on."""
    core = decode_core(raw.fields["c"])
    if core.failed_task_id is not None:
        core.failed_task_id = core.failed_task_id.replace(old_id, new_id, 1)
    tasks = {}
    for name, value in raw.tasks.items():
        if name.startswith("S"):
            scheduled = decode_scheduled(value)
            if scheduled.retried_task_id is not None:
                renamed = scheduled.retried_task_id.replace(old_id, new_id, 1)
                value = encode(msgspec.structs.replace(scheduled, retried_task_id=renamed))
        tasks[name] = value
    return transfer.RawWorkflow({**raw.fields, "c": encode(core)}, tasks)


def _read(document: Mapping[str, Any]) -> tuple[transfer.RawWorkflow, bytes, str]:
    """The records of a document, its definition's JSON and its id. Raises ``InvalidRequest``."""
    if document.get("format") != FORMAT:
        raise InvalidRequest("this is no exported execution; make one with: orchestrator workflow export ID")
    if document.get("formatVersion") != FORMAT_VERSION:
        raise InvalidRequest(
            f"this export has format version {document.get('formatVersion')!r}, and this program reads {FORMAT_VERSION}"
        )
    try:
        records, workflow_id = document["records"], document["workflow"]["workflowId"]
        raw = transfer.RawWorkflow(
            {str(name): _bytes(value) for name, value in records["fields"].items()},
            {str(name): _bytes(value) for name, value in records["tasks"].items()},
        )
        body = _bytes(records["definition"])
        if "c" not in raw.fields:
            raise InvalidRequest(
                f"workflow {workflow_id} had not begun when it was exported; there is nothing to import"
            )
        decode_core(raw.fields["c"])
        decode_meta(raw.fields["m"])
        int(raw.fields["v"])
        odd = [*(raw.fields.keys() - set(STATE_FIELDS)), *(name for name in raw.tasks if name[:1] not in _RECORDS)]
        if odd:
            raise InvalidRequest(f"{odd[0]!r} in the records of this export is nothing that an execution has")
        for name, value in raw.tasks.items():
            if name.startswith("S"):
                decode_scheduled(value)
            elif name.startswith("R"):
                decode_result(value)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"the records of this export cannot be read ({type(error).__name__}: {error})") from None
    transfer.require_bounded(str(workflow_id), raw.tasks)
    return raw, body, str(workflow_id)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
