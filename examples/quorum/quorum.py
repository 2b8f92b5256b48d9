"""A join that need not wait for everybody: the first two of three offers are enough."""

from orchestrator import Branch, Script, Workflow, task, testing


@task
def ask(carrier: str) -> dict[str, object]:
    """Ask one carrier for its price."""
    return {"carrier": carrier, "cents": {"by_air": 900, "by_rail": 450, "by_sea": 300}[carrier]}


TWO_OF_THREE = """
const offers = $.joinOn.map(ref => $[ref]).filter(member => member.status === "COMPLETED");
offers.length >= $.need
    ? {status: "COMPLETED", outputData: {best: offers.sort((one, other) => one.cents - other.cents)[0].carrier}}
    : false
"""

shipping = Workflow("cheapest_of_two")
shipping.fork(
    Branch().wait(for_s=60, ref="air_thinks").then(ask, carrier="by_air", ref="air"),
    Branch().wait(for_s=120, ref="rail_thinks").then(ask, carrier="by_rail", ref="rail"),
    Branch().wait(for_s=9999, ref="sea_thinks").then(ask, carrier="by_sea", ref="sea"),
)
# The script is asked when a branch has ended: true, or what the join is to be, ends it; false waits on.
shipping.join(script=Script(TWO_OF_THREE, {"need": 2}), ref="offers")
# The slow one goes on beside what follows; here the workflow ends, which cancels it.
shipping.terminate(output={"best": "${offers.output.best}"})

if __name__ == "__main__":
    result = testing.run(shipping)
    print(result.timeline())
    print(result.output)
