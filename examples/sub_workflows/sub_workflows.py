"""Workflows in workflows: as a step with a result, carried along, left to themselves, compensated on failure."""

from orchestrator import RetryPolicy, TerminalError, Workflow, task, testing


@task
def print_page(text: str) -> dict[str, str]:
    """Print one page."""
    return {"page": text.upper()}


@task
def post(page: str) -> str:
    """Send it by mail."""
    raise TerminalError("the letter box is full")


@task
def shred() -> str:
    """Undo."""
    return "shredded"


# A workflow of its own: registered by itself, used by name and version.
letter = Workflow("letter", version=2)
letter.then(print_page, text=letter.input.text).output(page="${print_page.output.page}")

undo = Workflow("undo").then(shred)

mailing = Workflow("mailing", on_failure=undo)
mailing.sub_workflow(letter, text=mailing.input.text)
# Started and left to itself: nobody waits for this one.
mailing.start_workflow(letter, text="a copy for us", ref="copy")
# inline=True carries the definition along, so that nobody has to register it; a retry starts a new child.
delivery = Workflow("delivery").then(post, page="${workflow.input.page}")
mailing.with_options(retry=RetryPolicy(limit=1, delay_s=5)).sub_workflow(
    delivery, inline=True, page="${letter.output.page}"
)

if __name__ == "__main__":
    result = testing.run(mailing, {"text": "hello"}, others=[letter, undo])
    print(result.timeline())
    print(result.task("letter").output["page"])
