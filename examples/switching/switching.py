"""Ways to choose: by a value, by a script, and by what came out before."""

from orchestrator import Branch, Script, Workflow, task, testing


@task
def pack(paper: str) -> str:
    """Pack a parcel."""
    return f"packed in {paper} paper"


@task
def ask_boss(sum: int) -> str:
    """Ask somebody who may decide."""
    return f"approved {sum}"


order = Workflow("choosing")
# By a value: the case whose name is the value's text runs.
order.switch(
    order.input.kind,
    {"gift": Branch().then(pack, paper="golden", ref="gift_wrap")},
    default=Branch().then(pack, paper="brown", ref="plain_wrap"),
)
# Whichever branch was taken: its output goes on under one name.
order.exclusive_join(on=["gift_wrap", "plain_wrap"], ref="wrapped")
# By a script: JavaScript sees its inputs as $.name; language="python" sees them as plain names.
price = Script("price * count > 100", {"price": order.input.price, "count": order.input.count}, language="python")
order.switch(price, {"true": Branch().then(ask_boss, sum=order.input.price)}, ref="is_dear")
order.output(size="${is_dear.output.selectedCase}", wrapped="${wrapped.output.result}")

if __name__ == "__main__":
    result = testing.run(order, {"kind": "gift", "price": 30, "count": 5})
    print(result.timeline())
    print(result.output)
