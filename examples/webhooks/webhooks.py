"""Webhooks: a shop's order starts a workflow, the bank's word that it is paid lets it go on."""

import hashlib
import hmac
import json
from typing import Any

from orchestrator import Workflow, task, testing
from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.settings import Settings


@task
def ship(order: str, receipt: str) -> str:
    """Work that begins when the money is there."""
    return f"{order} shipped, receipt {receipt}"


order = Workflow("order")
order.wait_for_webhook({"$.type": "paid", "$.order": order.input.order}, ref="paid")
order.then(ship, order=order.input.order, receipt="${paid.output.receipt}").output(done="${ship.output.result}")

# What is delivered at the shop's address starts an order; told twice, under whatever id, it is started once.
shop = Webhook(
    id="shop",
    name="the shop",
    verifier=Verifier.HEADER_BASED,
    headers={"X-Token": "${workflow.secrets.SHOP}"},
    workflows_to_start={
        "order": 1,
        "idempotencyKey": "${workflow.input.order}",
        "idempotencyStrategy": "RETURN_EXISTING",
    },
)
# What is delivered at the bank's address ends the tasks that wait for its values.
bank = Webhook(
    id="bank",
    name="the bank",
    verifier=Verifier.SIGNATURE_BASED,
    secret_value="${workflow.secrets.BANK}",
    receiver_workflow_names_to_versions={"order": 1},
)


def signed(event: dict[str, Any], secret: str, delivery_id: str) -> tuple[bytes, dict[str, str]]:
    """A delivery as the bank sends it: the signature covers the body as it is."""
    body = json.dumps(event).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Hub-Signature-256": f"sha256={signature}", "Webhook-Id": delivery_id}


if __name__ == "__main__":
    # Elsewhere secrets come from ORCHESTRATOR_SECRET_SHOP and the like, and deliveries to POST /api/webhook/shop.
    settings = Settings(partitions=1, secret_values={"SHOP": "s1", "BANK": "s2"})
    with testing.environment([ship], settings=settings) as env:
        env.client.register(order)
        env.client.save_webhook(shop)
        env.client.save_webhook(bank)
        for delivery_id in ("shop-1", "shop-2"):
            env.deliver("shop", b'{"order": "17"}', {"X-Token": "s1", "Webhook-Id": delivery_id})
        env.drain()
        (line,) = env.client.list_workflows(name="order").items
        handle = env.client.workflow(line.workflow_id)
        print(handle.status(), handle.describe().task("paid").status.value)
        paid = {"type": "paid", "order": "17", "receipt": "r-9"}
        env.deliver("bank", *signed(paid, "s2", "bank-1"))
        env.deliver("bank", *signed(paid, "s2", "bank-1"))  # a repetition has no second effect
        print(handle.result())
        print([(one.delivery_id, one.status, one.task_count) for one in env.client.webhook_deliveries("bank")])
