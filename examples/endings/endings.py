"""Ways to end: early and well, early and badly, and at the end although something failed on the way."""

from orchestrator import Branch, TerminalError, Workflow, task, testing


@task
def score(name: str) -> dict[str, str]:
    """Judge a customer."""
    return {"verdict": {"Ada": "good", "Mallory": "fraud"}.get(name, "unknown")}


@task
def ask_register(name: str) -> str:
    """A register that knows nobody."""
    raise TerminalError(f"{name} is not registered")


@task
def ask_bank(name: str) -> str:
    """A bank that knows everybody."""
    return f"{name} pays"


check = Workflow("check")
check.then(score, name=check.input.name)
check.switch(
    "${score.output.verdict}",
    {
        # The whole workflow ends here, with this status and output; what is open elsewhere is cancelled.
        "good": Branch().terminate("COMPLETED", output={"answer": "known and good"}),
        "fraud": Branch().terminate("FAILED", reason="a fraud", output={"answer": "call the police"}),
    },
    # A branch that does nothing, said aloud.
    default=Branch().noop(),
)
# permissive: the others finish first, and then the workflow fails with the reasons of all that failed.
check.fork(
    Branch().then(ask_register, name=check.input.name, permissive=True),
    Branch().then(ask_bank, name=check.input.name, permissive=True),
)

if __name__ == "__main__":
    for name in ("Ada", "Mallory", "Bob"):
        result = testing.run(check, {"name": name})
        print(name, result.status, result.output)
        print("  ", result.workflow.reason_for_incompletion)
        print("  ", [(one.ref, str(one.status)) for one in result.tasks if one.ref.startswith("ask")])
