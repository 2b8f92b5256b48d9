"""Things at the same time: a fork, the join that waits for its branches, and branches that may fail."""

from orchestrator import Branch, RetryPolicy, Workflow, task, testing


@task
def reserve(sku: str) -> dict[str, str]:
    """Put goods aside."""
    return {"shelf": f"A-{sku}"}


@task
def charge(amount: int) -> dict[str, int]:
    """Take the money."""
    return {"receipt": amount * 100}


@task(retry=RetryPolicy(limit=1, delay_s=2))
def send_coupon() -> None:
    """Something nice that may fail."""
    raise ConnectionError("the coupon service is down")


order = Workflow("side_by_side")
order.fork(
    Branch().then(reserve, sku=order.input.sku),
    Branch().then(charge, amount=order.input.amount).wait(for_s=60, ref="let_it_settle"),
    Branch().then(send_coupon, optional=True),
)
# A fork waits for the end of every branch; join() right after it says otherwise.
order.join(on=["reserve", "let_it_settle", "send_coupon"], ref="all_done")
order.output(shelf="${all_done.output.reserve.shelf}", receipt="${charge.output.receipt}")

if __name__ == "__main__":
    result = testing.run(order, {"sku": "book", "amount": 12})
    print(result.timeline())
    print(result.output)
