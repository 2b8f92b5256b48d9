"""Whatever a program of builder verbs writes is valid and survives JSON and YAML unchanged."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.definitions import walk
from orchestrator.steps import Steps
from orchestrator.workflow import Branch, Workflow

NAMES = st.sampled_from(["a", "b", "a_2", "fork", "fork_join", "wait"])
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=8)
VALUES = st.recursive(
    PLAIN | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)

Program = list[tuple[str, Any]]


def _programs(depth: int) -> st.SearchStrategy[Program]:
    choices: list[st.SearchStrategy[tuple[str, Any]]] = [
        st.tuples(st.just("then"), st.tuples(NAMES, st.dictionaries(TEXT, VALUES, max_size=2))),
        st.tuples(st.just("set"), st.dictionaries(TEXT, VALUES, max_size=2)),
        st.tuples(st.just("wait"), st.integers(1, 10**6)),
        st.tuples(st.just("noop"), st.none()),
        st.tuples(st.just("refer"), st.none()),
    ]
    if depth:
        inner = _programs(depth - 1)
        choices.append(st.tuples(st.just("fork"), st.lists(inner, min_size=1, max_size=3)))
        choices.append(st.tuples(st.just("switch"), st.dictionaries(TEXT, inner, min_size=1, max_size=2)))
    return st.lists(st.one_of(choices), min_size=1, max_size=4)


def _write(steps: Steps, program: Program, workflow: Workflow) -> None:
    for verb, what in program:
        match verb:
            case "then":
                steps.then(what[0], what[1])
            case "set":
                steps.set(what)
            case "wait":
                steps.wait(for_s=what)
            case "noop":
                steps.noop()
            case "refer":
                steps.then("reader", of=workflow.input.x)
            case "fork":
                steps.fork(*[_branch(part, workflow) for part in what])
            case "switch":
                steps.switch(workflow.input.kind, {case: _branch(part, workflow) for case, part in what.items()})


def _branch(program: Program, workflow: Workflow) -> Branch:
    branch = Branch()
    _write(branch, program, workflow)
    return branch


@settings(max_examples=60, deadline=None)
@given(_programs(2), st.dictionaries(TEXT, VALUES, max_size=2))
def test_a_program_of_verbs_is_valid_and_survives_json_and_yaml(program: Program, output: dict[str, Any]) -> None:
    flow = Workflow("random").output(output)
    _write(flow, program, flow)
    definition = flow.definition()

    assert flow.validate() == []
    refs = [task.task_reference_name for _, task in walk(definition)]
    assert len(refs) == len(set(refs))
    assert all(flow[ref].ref == ref for ref in refs)
    assert Workflow.from_definition(definition).definition() == definition
    assert Workflow.from_json(flow.to_json()).definition() == definition
    assert Workflow.from_yaml(flow.to_yaml()).definition() == definition
    assert flow.graph("mermaid").startswith("flowchart TD\n")
    assert len(flow.graph("text").splitlines()) > len(refs)
