"""Who wants to hear of it: a listener of a workflow, and the events of single steps, as messages that handlers take up."""

from typing import Any

from orchestrator import RetryPolicy, TerminalError, Workflow, task, testing
from orchestrator.model.event_handlers import event_handler_from_dict

diary: list[str] = []


@task(retry=RetryPolicy(limit=0))
def pay(card: str) -> str:
    """A card that ends in 0 is declined."""
    if card.endswith("0"):
        raise TerminalError("declined")
    return "paid"


@task
def note(order: str, event: str, status: str) -> None:
    """What is done with news of an order."""
    diary.append(f"{order}: {event}, {status}")


@task
def call(customer: str, reason: str) -> None:
    """Somebody has to tell the customer."""
    diary.append(f"call {customer}: {reason}")


# Every start, end and operation of an execution is told once: to a queue of events, a Redis stream or a web address.
order = Workflow("order", listener="conductor:news")
# A step tells of the states that it names, with a payload that is filled in at that moment.
declined = {"type": "conductor:declined", "payload": {"customer": "${workflow.input.customer}"}}
order.with_options(on_state_change={"onFailed": [declined]}).then(pay, card=order.input.card)

diary_of = Workflow("diary")
diary_of.then(note, order=diary_of.input.order, event=diary_of.input.event, status=diary_of.input.status)
calls = Workflow("calls")
calls.then(call, customer=calls.input.customer, reason=calls.input.reason)


def starts(workflow: str, event: str, /, **given: str) -> dict[str, Any]:
    """An event handler that starts a workflow with parts of the message."""
    start = {"action": "start_workflow", "start_workflow": {"name": workflow, "input": given}}
    return {"name": workflow, "event": event, "active": True, "actions": [start]}


handlers = [
    starts("diary", "conductor:order:news", order="${workflowId}", event="${event}", status="${status}"),
    starts("calls", "conductor:order:declined", customer="${payload.customer}", reason="${reasonForIncompletion}"),
]

if __name__ == "__main__":
    with testing.environment([pay, note, call]) as env:
        env.client.register(order, diary_of, calls)
        env.client.apply_event_handlers(*(event_handler_from_dict(handler) for handler in handlers))
        for name, card in (("order-1", "4242"), ("order-2", "4240")):
            env.client.with_options(workflow_id=name).start_workflow(order, card=card, customer="Ada")
            env.run_until_quiet()
        env.client.workflow("order-2").retry()
        env.run_until_quiet()
        print(*sorted(diary), sep="\n")
