"""Acting on executions: retry, pause and resume, change variables, skip a step, rerun from a task, jump."""

from orchestrator import Client, RetryPolicy, TerminalError, Workflow, task, testing

BROKEN = {"bank"}


@task(retry=RetryPolicy(limit=0))
def charge(amount: int) -> dict[str, int]:
    """Fails while the bank is broken."""
    if "bank" in BROKEN:
        raise TerminalError("bank is closed")
    return {"receipt": amount}


@task
def thank(name: str) -> str:
    """Say thanks."""
    return f"thank you, {name}"


order = Workflow("operated", variables={"name": "nobody"})
order.then(charge, amount=order.input.amount).wait(for_s=60, ref="cool_down").then(thank, name=order.variables.name)


def operate(env: testing.Environment, client: Client) -> None:
    """What an operator does; ``orchestrator workflow retry|pause|resume|skip|rerun ...`` are the same verbs."""
    handle = client.start_workflow(order, amount=12)
    env.drain()
    print("first", handle.status(), "-", handle.describe().reason_for_incompletion)

    BROKEN.clear()
    handle.retry()  # what failed gets one more attempt
    env.drain()
    handle.update_variables({"name": "Ada"})
    handle.pause()
    env.clock.advance(3600)
    env.drain()
    print("paused", handle.status(), [one.reference_task_name for one in handle.describe().tasks])
    handle.resume()
    print("then", handle.result())

    handle.rerun("thank", task_input={"name": "Grace"})  # that task and all that came after it
    print("rerun", handle.result())
    handle.restart()  # everything, with the variables of the beginning
    print("restarted", handle.result())

    impatient = client.start_workflow(order, amount=1)
    started = env.clock.now
    impatient.skip("cool_down")
    print("skipped", impatient.result(), "after", (env.clock.now - started).seconds, "s")

    hasty = client.start_workflow(order, amount=1)
    hasty.jump("thank", {"name": "nobody in particular"})  # what is open is cancelled
    print("jumped", hasty.result(), [one.status.value for one in hasty.describe().tasks])


if __name__ == "__main__":
    with testing.environment([charge, thank]) as env:
        operate(env, env.client)
