"""A program that talks with a workflow: start and wait for the first question, answer, and wait for the next."""

from orchestrator import Workflow, task, testing


@task
def offer(seats: int) -> dict[str, list[str]]:
    """Seats that are free."""
    return {"seats": [f"12{letter}" for letter in "ABC"[:seats]]}


@task
def book(seat: str, name: str) -> str:
    """Book one."""
    return f"{seat} for {name}"


booking = Workflow("booking", variables={"name": "nobody"})
booking.then(offer, seats=booking.input.seats)
# A step as Conductor writes it: a WAIT that says what it is to be answered with.
booking.place(
    {
        "name": "choose",
        "taskReferenceName": "chosen",
        "type": "WAIT",
        "inputParameters": {"choose": "${offer.output.seats}"},
    }
)
booking.wait(signal="paid")
booking.then(book, seat="${chosen.output.seat}", name=booking.variables.name)

if __name__ == "__main__":
    with testing.environment([offer, book]) as env:
        # Back as soon as it waits for somebody, with what was asked for: here the input of the step that waits.
        asking = env.client.with_options(return_strategy="BLOCKING_TASK_INPUT")
        halt = asking.execute_until_halt(booking, seats=2)
        print("it asks", halt.output)
        handle = env.client.workflow(halt.target.workflow_id)
        halt = handle.signal_and_wait("chosen", {"seat": halt.output["choose"][0]}, return_strategy="BLOCKING_TASK")
        print("now it waits for", halt.task and halt.task.reference_task_name)
        # Variables and the end of a task in one step: both are there, or neither.
        handle.update_state(variables={"name": "Ada"}, ref="paid", output={"receipt": "R-1"})
        print(handle.result())

        # Many at once; who refuses is named.
        ids = [env.client.start_workflow(booking, seats=3).id for _ in range(3)]
        done = env.client.act_on_workflows("terminate", [*ids, handle.id], {"reason": "the flight is cancelled"})
        print(len(done.succeeded), "terminated, refused:", list(done.failed) == [handle.id])
