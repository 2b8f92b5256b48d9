"""The order workflow, and the one that cleans up after an order that failed.

    validate -> invalid: reject
             -> valid:   charge and reserve in parallel -> both worked: ship
                                                        -> sold out:    refund
                                                        -> declined:    release the goods
             -> notify the customer

An order whose parcel nobody can deliver fails, and ``order_failed`` gives the money and the goods back. Draw it with
``orchestrator def graph examples.orders.workflow:order``.
"""

from __future__ import annotations

from examples.orders.tasks import (
    charge_card,
    notify_customer,
    refund_payment,
    release_stock,
    reserve_stock,
    ship_parcel,
    validate_order,
)
from orchestrator import Branch, Workflow

order_failed = Workflow("order_failed", description="Gives money and goods back after an order that failed")
order_failed.fork(
    Branch().then(refund_payment, order_id=order_failed.input.order_id),
    Branch().then(release_stock, order_id=order_failed.input.order_id),
)
order_failed.then(
    notify_customer,
    name=order_failed.input.name,
    email=order_failed.input.email,
    outcome="cancelled",
    detail=order_failed.input.reason,
)

order = Workflow(
    "order",
    description="One order of the shop, from validation to the parcel",
    inputs=["order_id", "name", "email", "sku", "quantity", "amount_cents", "card", "country"],
    variables={"outcome": "open", "detail": ""},
    on_failure=order_failed,
)

checked = order.step(
    validate_order,
    ref="validate",
    email=order.input.email,
    quantity=order.input.quantity,
    amount_cents=order.input.amount_cents,
)

# --- the two things that happen at the same time ----------------------------------------------------------------------

paying, picking = Branch(), Branch()
charge = paying.step(
    charge_card,
    ref="charge",
    order_id=order.input.order_id,
    card=order.input.card,
    amount_cents=order.input.amount_cents,
)
stock = picking.step(
    reserve_stock,
    ref="reserve",
    order_id=order.input.order_id,
    sku=order.input.sku,
    quantity=order.input.quantity,
)

# --- the ways it can go on --------------------------------------------------------------------------------------------

ship = Branch()
parcel = ship.step(ship_parcel, ref="ship", order_id=order.input.order_id, country=order.input.country)
ship.set(outcome="shipped", detail=f"Track it with {parcel.output['tracking']}.", ref="shipped")

refund = Branch().then(refund_payment, ref="refund", order_id=order.input.order_id)
refund.set(outcome="refunded", detail="It is sold out.", ref="refunded")

release = Branch().then(release_stock, ref="release", order_id=order.input.order_id)
release.set(outcome="declined", detail="The bank declined the payment.", ref="declined")

reject = Branch().set(outcome="rejected", detail=checked.output["problems"][0], ref="rejected")

# --- all of it --------------------------------------------------------------------------------------------------------

fulfil = Branch().fork(paying, picking, ref="pay_and_pick")
fulfil.switch(
    f"{charge.output['status']} {stock.output['status']}",
    {"paid reserved": ship, "paid sold_out": refund},
    default=release,
    ref="decide",
)
order.switch(checked.output["valid"], {True: fulfil}, default=reject, ref="is_valid")
order.then(
    notify_customer,
    ref="notify",
    name=order.input.name,
    email=order.input.email,
    outcome=order.variables.outcome,
    detail=order.variables.detail,
)
order.output(outcome=order.variables.outcome, detail=order.variables.detail)
