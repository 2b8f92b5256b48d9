"""Whatever a program of builder verbs writes is valid and survives JSON and YAML unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.definitions import walk
from orchestrator.steering import Turn
from orchestrator.step_options import Cache, Script
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

# A loop is spoken of by its name, so its author chooses one that is nobody else's.
_NUMBERS = itertools.count()

Program = list[tuple[str, Any]]


def _programs(depth: int) -> st.SearchStrategy[Program]:
    inputs = st.dictionaries(TEXT, VALUES, max_size=2)
    choices: list[st.SearchStrategy[tuple[str, Any]]] = [
        st.tuples(st.just("then"), st.tuples(NAMES, inputs)),
        st.tuples(st.just("set"), inputs),
        st.tuples(st.just("wait"), st.integers(1, 10**6)),
        st.tuples(st.sampled_from(sorted(PLAIN_VERBS)), inputs),
        st.tuples(st.just("options"), st.integers(0, 9)),
    ]
    if depth:
        inner = _programs(depth - 1)
        choices.append(st.tuples(st.just("fork"), st.lists(inner, min_size=1, max_size=3)))
        choices.append(st.tuples(st.just("loop"), inner))
        choices.append(st.tuples(st.just("for_each"), inner))
        choices.append(st.tuples(st.just("carry"), inner))
        choices.append(st.tuples(st.just("switch"), st.dictionaries(TEXT, inner, min_size=1, max_size=2)))
        choices.append(st.tuples(st.just("script"), st.dictionaries(TEXT, inner, min_size=1, max_size=2)))
    return st.lists(st.one_of(choices), min_size=1, max_size=4)


PLAIN_VERBS: dict[str, Callable[[Steps, Workflow, dict[str, Any]], object]] = {
    "noop": lambda steps, flow, given: steps.noop(),
    "refer": lambda steps, flow, given: steps.then("reader", of=flow.input.x),
    "human": lambda steps, flow, given: steps.human(given),
    "dynamic": lambda steps, flow, given: steps.dynamic(flow.input.name, given),
    "fork_each": lambda steps, flow, given: steps.fork_each("a", over=[given]),
    "fork_calls": lambda steps, flow, given: steps.fork_each("HTTP", over=flow.input.calls).join(optional=True),
    "dynamic_fork": lambda steps, flow, given: steps.dynamic_fork(flow.input.tasks, given),
    "dynamic_list": lambda steps, flow, given: steps.dynamic_fork([{"taskName": "a", "input": given}]),
    "child": lambda steps, flow, given: steps.sub_workflow("b", given, version=2, priority=flow.input.priority),
    "start": lambda steps, flow, given: steps.start_workflow("b", given, correlation_id=flow.input.id),
    "http": lambda steps, flow, given: steps.http(flow.input.uri, method="PUT", body=given),
    "http_poll": lambda steps, flow, given: steps.http_poll(flow.input.uri, until="$.done", body=given),
    "inline": lambda steps, flow, given: steps.inline(Script("$.a", given)),
    "jq": lambda steps, flow, given: steps.jq(".", given),
    "event": lambda steps, flow, given: steps.event("conductor", given),
    "kafka": lambda steps, flow, given: steps.kafka_publish("t", given, servers="s", headers={"a": "b"}),
    "rq": lambda steps, flow, given: steps.rq("shop.tasks.charge", [1, given], {"a": given}, queue="q", retries=2),
    "pull": lambda steps, flow, given: steps.pull_messages(batch_size=3),
    "end": lambda steps, flow, given: steps.terminate("FAILED", reason="so", output=given),
    "place": lambda steps, flow, given: steps.place(
        {
            "name": "r",
            "taskReferenceName": f"r{next(_NUMBERS)}",
            "type": "RESIZE",
            "inputParameters": given,
        }
    ),
}


def _write(steps: Steps, program: Program, workflow: Workflow) -> None:
    for verb, what in program:
        match verb:
            case "then":
                steps.then(what[0], what[1])
            case "set":
                steps.set(what)
            case "wait":
                steps.wait(for_s=what)
            case "options":
                on = {"onSuccess": [{"type": "t", "payload": {"n": what}}]}
                steps.with_options(optional=True, retry=what, cache=Cache("k", 1), on_state_change=on).then("a")
            case "fork":
                steps.fork(*[_branch(part, workflow) for part in what])
            case "loop":
                body = _branch(what, workflow)
                steps.loop(body, while_=Script("$.a", {"a": 1}), keep_last=2, ref=f"loop{next(_NUMBERS)}")
            case "for_each":
                body = _branch(what, workflow)
                steps.for_each(workflow.input.items, partial(_with_item, body), ref=f"each{next(_NUMBERS)}")
            case "carry":
                inner = Workflow("inner")
                _write(inner, what, inner)
                steps.sub_workflow(inner, inline=True)
            case "switch":
                steps.switch(workflow.input.kind, {case: _branch(part, workflow) for case, part in what.items()})
            case "script":
                steps.switch(Script("$.a", {"a": 1}), {case: _branch(part, workflow) for case, part in what.items()})
            case plain:
                PLAIN_VERBS[plain](steps, workflow, what)


def _with_item(body: Branch, turn: Turn) -> Branch:
    return body.then("of", x=turn.item)


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
