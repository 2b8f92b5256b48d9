"""``orchestrator expr``: try an expression or a script out before a definition holds it.

Against an execution (``--workflow``), or against values given here. Nothing is stored. Called by people who write
definitions.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from orchestrator.clock import SystemClock
from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import show_document
from orchestrator_cli.session import current_session

group = LazyGroup(
    "expr",
    help="Expressions and scripts of definitions.",
    entries={"eval": Entry(__name__, "eval_", "Say what an expression or a script gives.")},
)

LANGUAGES = ("expression", "javascript", "python", "jq")


@click.command(
    "eval",
    cls=Leaf,
    examples="""orchestrator expr eval '${charge.output.amount}' --workflow ID
orchestrator expr eval '${workflow.input.items[*].sku}' --input-file order.json
orchestrator expr eval --language javascript '$.total > 100 ? "express" : "standard"' -i total:=120
orchestrator expr eval --language python 'total > 100' -i 'total=${charge.output.amount}' --workflow ID""",
)
@click.argument("text", metavar="EXPRESSION")
@click.option("--workflow", "workflow_id", metavar="ID", help="Read from this execution.")
@click.option("--language", type=choice(*LANGUAGES), default="expression", show_default=True, help="What it is.")
@click.option("-i", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One input.")
@click.option("--input-file", "files", multiple=True, metavar="FILE|-", help="Inputs as a JSON object; - is stdin.")
@output_option("json")
def eval_(
    text: str, workflow_id: str | None, language: str, pairs: Sequence[str], files: Sequence[str], form: str
) -> None:
    """Say what EXPRESSION gives, as JSON unless another form is wanted.

    Inputs are the workflow's input for an expression without --workflow, and what a script sees for the other languages;
    with --workflow they may hold expressions themselves. An expression may be written without its ${}.
    """
    from orchestrator.service import trying

    given = read_input(pairs, files)
    if workflow_id is None:
        scope = trying.given_scope(given)
    else:
        with current_session().store() as store:
            scope = store.run(trying.scope_of, workflow_id)
    if language == "expression":
        value = trying.render(text if "${" in text else f"${{{text}}}", scope)
    else:
        inputs = given if workflow_id is None else trying.render(given, scope)
        value = trying.run_script(language, text, inputs, now_ms=SystemClock().now_ms())
    show_document(value, form, name=text)
