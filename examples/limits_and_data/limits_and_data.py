"""Limits that hold over all workers, and what guards data: schemas, templates, hidden fields."""

from orchestrator import RateLimit, Workflow, task, testing
from orchestrator.errors import SchemaViolation


@task(rate_limit=RateLimit(2, per_s=60))
def call_partner(sku: str) -> str:
    """A partner that allows two calls a minute."""
    return f"asked for {sku}"


order = Workflow(
    "guarded",
    input_schema={"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
    input_template={"count": 1},
    masked_fields=["card"],
)
order.then(call_partner, sku=order.input.sku).output(asked="${call_partner.output.result}", count=order.input.count)

if __name__ == "__main__":
    with testing.environment([call_partner]) as env:
        handles = [env.client.start_workflow(order, sku=f"book-{number}", card="1234") for number in range(5)]
        for handle in handles:
            handle.result()
        views = [handle.describe() for handle in handles]
        print("ended after", [round((view.end_time - view.create_time) / 1000) for view in views], "s")
        print("shown", views[0].input)
        try:
            env.client.start_workflow(order, sku=7)
        except SchemaViolation as error:
            print("refused:", error)
