"""Again and again: while a condition holds, and once for every element of a list."""

from orchestrator import Branch, Script, TaskContext, Workflow, task, testing


@task
def poll(context: TaskContext) -> dict[str, str]:
    """Ask whether it is ready; the third answer is yes."""
    return {"state": "ready" if context.iteration == 3 else "busy"}


@task
def pick(sku: str, place: int) -> str:
    """Fetch one thing."""
    return f"{place}: {sku}"


patience = Workflow("patience")
# The condition reads the loop and the steps of its body by name. Its last five turns are kept.
patience.loop(
    Branch().then(poll).wait(for_s=10, ref="pause"),
    while_=Script("poll['state'] != 'ready' and waiting['iteration'] < 20", language="python"),
    keep_last=5,
    ref="waiting",
)
# The body is written for a turn: its item, its index from 0, its number from 1.
patience.for_each(
    patience.input.lines, lambda turn: Branch().then(pick, sku=turn.item.sku, place=turn.number), ref="picking"
)
patience.output(turns="${waiting.output.iteration}", picked="${picking.output.2.pick.result}")

if __name__ == "__main__":
    result = testing.run(patience, {"lines": [{"sku": "book"}, {"sku": "lamp"}]})
    print(result.timeline())
    print(result.output)
