"""Waiting: for a time, for a signal with a payload, for a person; and time-outs, which take no time in a test."""

from orchestrator import Workflow, task, testing


@task
def ship(approved_by: str, note: str) -> str:
    """Ship it."""
    return f"shipped, {approved_by} said {note}"


request = Workflow("approval")
request.wait(for_s=3600, ref="cool_down")
request.wait(signal="approved")
request.human(ref="inspect", amount=request.input.amount)
request.then(ship, approved_by="${approved.output.by}", note="${inspect.output.note}")

if __name__ == "__main__":
    with testing.environment([ship]) as env:
        handle = env.client.start_workflow(request, amount=900)
        env.run_until_quiet()  # the clock jumps over the hour
        handle.signal("approved", {"by": "Ada"})
        handle.update_task("inspect", "COMPLETED", {"note": "all is well"})
        print(handle.result())
        print(testing.WorkflowResult(handle.describe()).timeline())
