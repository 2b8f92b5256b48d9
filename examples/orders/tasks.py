"""The tasks of the order workflow: thin calls to the outside services, with the policy each of them needs.

Every call that changes something outside passes on the step's idempotency key, which is the same for all attempts and
deliveries of that step: so a task that runs twice still acts once. Run by ``orchestrator worker examples.orders.tasks``.
"""

from __future__ import annotations

from typing import Any

from examples.orders import services
from orchestrator import RateLimit, RetryPolicy, TaskContext, TerminalError, task

SHIP_AT_ONCE = 8
SHIP_PER_SECOND = 30

QUICK = RetryPolicy(limit=5, logic="EXPONENTIAL", delay_s=1, cap_s=8)


@task(retry=QUICK, timeout_s=60)
def validate_order(email: str, quantity: int, amount_cents: int) -> dict[str, Any]:
    """Say what is wrong with an order; a wrong order is an answer, not a failure."""
    problems = []
    if "@" not in email:
        problems.append(f"{email} is no e-mail address")
    if quantity < 1:
        problems.append(f"quantity {quantity} is less than 1")
    if amount_cents < 0:
        problems.append(f"amount {amount_cents} is negative")
    return {"valid": not problems, "problems": problems}


@task(retry=QUICK, timeout_s=60)
def charge_card(order_id: str, card: str, amount_cents: int, context: TaskContext) -> dict[str, Any]:
    """Take the money; a declined card is an answer as well."""
    payment_id = services.charge(context.idempotency_key, order_id, card, amount_cents)
    return {"status": "declined" if payment_id is None else "paid", "payment_id": payment_id}


@task(retry=QUICK, timeout_s=60)
def reserve_stock(order_id: str, sku: str, quantity: int, context: TaskContext) -> dict[str, Any]:
    """Set the goods aside."""
    found = services.reserve(context.idempotency_key, order_id, sku, quantity)
    return {"status": "reserved" if found else "sold_out"}


@task(
    retry=RetryPolicy(limit=8, logic="EXPONENTIAL", delay_s=1, cap_s=4, jitter_s=0.5),
    timeout_s=60,
    concurrency=SHIP_AT_ONCE,
    rate_limit=RateLimit(SHIP_PER_SECOND, per_s=1),
)
async def ship_parcel(order_id: str, country: str, context: TaskContext) -> dict[str, Any]:
    """Hand the parcel to the carrier, within the limits the carrier has set; tried again when it fails."""
    try:
        tracking = await services.ship(context.idempotency_key, order_id, country, context.attempt)
    except services.NoSuchRoute as error:
        raise TerminalError(str(error)) from error
    return {"tracking": tracking}


@task(retry=QUICK, timeout_s=60)
def refund_payment(order_id: str, context: TaskContext) -> dict[str, Any]:
    """Give the money back."""
    return {"refunded_cents": services.refund(context.idempotency_key, order_id)}


@task(retry=QUICK, timeout_s=60)
def release_stock(order_id: str) -> dict[str, Any]:
    """Put the goods back; releasing twice releases once by nature."""
    return {"pieces": services.release(order_id)}


@task(retry=QUICK, timeout_s=60)
async def notify_customer(name: str, email: str, outcome: str, context: TaskContext, detail: str = "") -> None:
    """Write to the customer, here into the task's log."""
    context.log(f"to {email}: Dear {name}, your order is {outcome}. {detail}".rstrip())
