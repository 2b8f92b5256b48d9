"""Branches that nobody knows before the flow gets there: one per element, a list of steps, a task by name."""

from orchestrator import Workflow, task, testing


@task
def plan(parcels: int) -> dict[str, object]:
    """Decide how everything is to be shipped."""
    lines = [{"sku": f"book-{number}"} for number in range(parcels)]
    steps = [{"name": "weigh", "taskReferenceName": f"weigh_{number}", "type": "SIMPLE"} for number in range(parcels)]
    return {"lines": lines, "steps": steps, "inputs": {"weigh_0": {"grams": 300}, "weigh_1": {"grams": 200}}}


@task
def pick(sku: str) -> str:
    """Fetch one thing."""
    return f"picked {sku}"


@task
def weigh(grams: int) -> int:
    """Weigh one parcel."""
    return grams


@task
def by_bike(grams: int) -> str:
    """One of the carriers."""
    return f"{grams} g by bike"


shipping = Workflow("shipping")
shipping.then(plan, parcels=shipping.input.parcels)
# One task for every element of a list.
shipping.fork_each(pick, over="${plan.output.lines}", ref="picking")
# The steps themselves come out of a task, with their inputs.
shipping.dynamic_fork("${plan.output.steps}", "${plan.output.inputs}", ref="weighing")
# Which task runs is decided by a name; what the branches gave is read through their join.
shipping.dynamic(shipping.input.carrier, grams="${weighing_join.output.weigh_0.result}", ref="carrier")

if __name__ == "__main__":
    result = testing.run(shipping, {"parcels": 2, "carrier": "by_bike"}, tasks=[plan, pick, weigh, by_bike])
    print(result.timeline())
    print(result.output)
