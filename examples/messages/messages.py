"""Messages to a running workflow: a cart that takes lines in until its customer checks out."""

from typing import Any

from orchestrator import Branch, Script, Workflow, task, testing


@task
def add_up(messages: list[dict[str, Any]], cents: int) -> dict[str, object]:
    """The sum with what came in, and whether the customer is done."""
    payloads = [message["payload"] for message in messages]
    total = cents + sum(payload.get("cents", 0) for payload in payloads)
    return {"cents": total, "is_done": any("checkout" in payload for payload in payloads)}


cart = Workflow("cart", variables={"cents": 0})
# A blocking pull waits for the first message and takes up to ten; the push itself wakes it.
turn = Branch().pull_messages(batch_size=10, ref="inbox")
turn.then(add_up, messages="${inbox.output.messages}", cents=cart.variables.cents).set(cents="${add_up.output.cents}")
cart.loop(turn, while_=Script("not add_up['is_done']", language="python"), ref="shopping")
cart.output(cents=cart.variables.cents, turns="${shopping.output.iteration}")

if __name__ == "__main__":
    with testing.environment([add_up]) as env:
        handle = env.client.start_workflow(cart)
        handle.push_message({"sku": "book", "cents": 1250})
        env.run_until_quiet()
        print(handle.status(), handle.describe().variables)
        handle.push_message({"sku": "lamp", "cents": 3000}, message_id="lamp-1")
        handle.push_message({"sku": "lamp", "cents": 3000}, message_id="lamp-1")  # a repetition adds nothing
        handle.push_message({"checkout": True})
        print(handle.result())
