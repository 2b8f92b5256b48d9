"""Webhooks, for every sixth seed: senders that deliver, hosts that carry it out, and workflows that await it.

They draw from a source of their own, like the families. A sender or host that was killed has a successor: the sender delivers
again what was not acknowledged, the host takes over what others had in hand, whether they live or not.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from orchestrator.errors import StoreUnavailable, WorkflowNotFound
from orchestrator.events.processor import Verdict
from orchestrator.events.sources import read_idle, read_new, settle
from orchestrator.model.definitions import WorkflowDef, WorkflowTask
from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.plan import Plan
from orchestrator.service import webhook_deliveries, webhooks, workflows
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext
from tests.simulation.life import Life, Sleep, Surroundings

NAME, GREETED = "hooked", "greeted"
HUB, BELL = "hub", "bell"
"""The webhook that workflows await, and the one that starts workflows."""

TYPE = "WAIT_FOR_WEBHOOK"
SECRETS = {"hub": "s3cret"}
SELDOM = 6
LANES = ("left", "right")
DELIVERIES = 3


def has_hooks(seed: int) -> bool:
    """Whether webhooks occur in the seed."""
    return seed % SELDOM == 4


def definitions(rng: random.Random) -> list[WorkflowDef]:
    """Some workflows that await events of a lane: two different ones side by side, then the first of them again."""
    return [_hooked(rng, rng.choice(LANES)) for _ in range(rng.randrange(2, 5))]


def events() -> list[str]:
    """Whose slots are written to: what arrives, and what became of it."""
    return [webhooks.EVENT, webhooks.log_of(HUB), webhooks.log_of(BELL)]


def greeted() -> WorkflowDef:
    """What the bell starts."""
    return WorkflowDef(name=GREETED, tasks=[WorkflowTask(name="plain", task_reference_name="plain_greeting")])


def actions(rng: random.Random) -> tuple[tuple[int, str], ...]:
    """What a client does with one of them."""
    chosen = rng.choice(("", "", "pause", "terminate", "remove", "poison", "restart", "look"))
    if chosen == "pause":
        return (rng.randrange(10, 600), "pause"), (rng.randrange(50, 900), "resume")
    return ((rng.randrange(1, 1500), chosen),) if chosen else ()


def install(store: StoreContext) -> Plan[None]:
    """Store both webhooks, and let what arrives be kept."""
    to_start = {GREETED: None, "idempotencyKey": "${workflow.input.order}", "idempotencyStrategy": "RETURN_EXISTING"}
    for webhook in (
        Webhook(name=HUB, id=HUB, verifier=Verifier.HEADER_BASED, receiver_workflow_names_to_versions={NAME: None}),
        Webhook(name=BELL, id=BELL, verifier=Verifier.HEADER_BASED, workflows_to_start=to_start),
    ):
        webhook.headers = {"X-Token": "${workflow.secrets.hub}"}
        yield catalog.put_webhook(store.keys, str(webhook.id), msgspec.json.encode(webhook))
    yield from webhooks.hear(store)


def sender_life(world: Surroundings, name: str) -> Life:
    """Deliver some events, the same ones as a killed predecessor."""
    base, store = name.rpartition(".")[0], world.store()
    rng, pauses = world.random_of(base), world.random_of(name)
    events = [
        (rng.choice((HUB, HUB, BELL)), rng.choice(LANES), rng.choice(("middle", "last"))) for _ in range(DELIVERIES)
    ]
    for number, (webhook_id, lane, kind) in enumerate(events):
        yield Sleep(pauses.randrange(0, 900))
        while not (yield from deliver(world, store, webhook_id, f"{base}-{number}", lane, kind)):
            yield Sleep(pauses.randrange(5, 100))


def deliver(
    world: Surroundings, store: StoreContext, webhook_id: str, delivery_id: str, lane: str, kind: str
) -> Plan[bool]:
    """Deliver one event; gives whether it was acknowledged."""
    event = {"order": lane, "kind": kind, "delivery": delivery_id}
    headers = {"x-token": SECRETS["hub"], "webhook-id": delivery_id}
    try:
        yield from webhooks.receive(store, webhook_id, headers, msgspec.json.encode(event), world.now)
    except StoreUnavailable:
        return False
    world.ledger.deliveries[delivery_id] = event | {"webhook": webhook_id}
    return True


def host_life(world: Surroundings, name: str) -> Life:
    """Carry out what has arrived, and what others have in hand."""
    rng = world.random_of(name)
    store = world.store()
    is_heard, look_at = False, 0
    while True:
        try:
            if not is_heard:
                yield from webhooks.hear(store)
                is_heard = True
            messages = []
            if world.now >= look_at:
                messages = yield from read_idle(store, [webhooks.EVENT], name, idle_ms=0)
                look_at = world.now + rng.randrange(300, 2_000)
            found = yield from read_new(store, [webhooks.EVENT], name)
            for message in [*messages, *found.messages]:
                reason = yield from webhook_deliveries.deliver(store, message.payload, world.now)
                yield from settle(store, message, Verdict(True, reason))
        except StoreUnavailable:
            look_at = 0
        yield Sleep(rng.choice((5, 60, 300)))


def remove(store: StoreContext, workflow_id: str) -> Plan[None]:
    """Remove one by force, out of the index of what is awaited too."""
    try:
        yield from workflows.remove(store, workflow_id, force=True)
    except WorkflowNotFound:
        return


def _hooked(rng: random.Random, lane: str) -> WorkflowDef:
    return WorkflowDef(
        name=NAME,
        tasks=[
            WorkflowTask(
                name="split",
                task_reference_name="split",
                type="FORK_JOIN",
                fork_tasks=[
                    [_awaiting("any", {"$.order": lane})],
                    [_awaiting("last", {"$.order": lane, "$.kind": "last"})],
                ],
            ),
            WorkflowTask(name="both", task_reference_name="both", type="JOIN", join_on=["any", "last"]),
            WorkflowTask(name=rng.choice(("plain", "flaky")), task_reference_name="between", optional=True),
            _awaiting("again", {"$.order": lane}),
        ],
    )


def _awaiting(ref: str, matches: dict[str, Any]) -> WorkflowTask:
    return WorkflowTask(name="event", task_reference_name=ref, type=TYPE, input_parameters={"matches": matches})
