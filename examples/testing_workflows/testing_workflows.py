"""Tests without the tasks' code: mocked outcomes attempt by attempt, time that jumps, and yesterday as a test."""

from orchestrator import RetryPolicy, Workflow, task, testing
from orchestrator.testing import MockOutput


@task(retry=RetryPolicy(limit=2, delay_s=60), timeout_s=30, timeout_policy="RETRY")
def charge(amount: int) -> dict[str, int]:
    """Talks to the bank; no test wants that."""
    raise NotImplementedError


@task
def thank(receipt: int) -> str:
    """Runs as it is."""
    return f"thank you for {receipt}"


order = Workflow("tested")
order.then(charge, amount=order.input.amount).wait(signal="delivered").then(thank, receipt="${charge.output.receipt}")

if __name__ == "__main__":
    result = testing.run(
        order,
        {"amount": 12},
        mocks={
            # the first attempt hangs, the second is refused, the third takes five seconds
            "charge": [
                MockOutput(takes_s=90),
                ConnectionError("bank is closed"),
                MockOutput(output={"receipt": 7}, takes_s=5),
            ],
            "delivered": [MockOutput(takes_s=86_400)],
        },
    )
    print(result.timeline())
    print(result.assert_completed().output)

    # What ran once can be replayed: recorded outcomes against the definition of today.
    from orchestrator.model.wire import workflow_to_dict

    recorded = workflow_to_dict(result.workflow)
    changed = Workflow("tested").then(charge, amount=100).then(thank, receipt="${charge.output.receipt}")
    for difference in testing.replay(recorded, changed).differences:
        print(difference)
