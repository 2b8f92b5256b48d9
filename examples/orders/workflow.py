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
from orchestrator.workflow import Branch, Workflow

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

rejected = Branch().set(outcome="rejected", detail=checked.output["problems"][0])

fulfilled = Branch()
charged = Branch()
charge = charged.step(
    charge_card,
    ref="charge",
    order_id=order.input.order_id,
    card=order.input.card,
    amount_cents=order.input.amount_cents,
)
kept = Branch()
stock = kept.step(
    reserve_stock,
    ref="reserve",
    order_id=order.input.order_id,
    sku=order.input.sku,
    quantity=order.input.quantity,
)
fulfilled.fork(charged, kept, ref="pay_and_pick")

shipped = Branch()
shipment = shipped.step(ship_parcel, ref="ship", order_id=order.input.order_id, country=order.input.country)
shipped.set(outcome="shipped", detail=f"Track it with {shipment.output['tracking']}.")

refunded = Branch().then(refund_payment, ref="refund", order_id=order.input.order_id)
refunded.set(outcome="refunded", detail="It is sold out.")

declined = Branch().then(release_stock, ref="release", order_id=order.input.order_id)
declined.set(outcome="declined", detail="The bank declined the payment.")

fulfilled.switch(
    f"{charge.output['status']} {stock.output['status']}",
    {"paid reserved": shipped, "paid sold_out": refunded},
    default=declined,
    ref="decide",
)

order.switch(checked.output["valid"], {True: fulfilled}, default=rejected, ref="is_valid")
order.then(
    notify_customer,
    ref="notify",
    name=order.input.name,
    email=order.input.email,
    outcome=order.variables.outcome,
    detail=order.variables.detail,
)
order.output(outcome=order.variables.outcome, detail=order.variables.detail)
