"""Drawings show every step once, every way through, and never fail on odd names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.graph import mermaid, text_tree
from orchestrator.model.definitions import SubWorkflowParams, TaskType, WorkflowDef, WorkflowTask
from orchestrator.step_options import Script
from orchestrator.workflow import Branch, Workflow


def order() -> Workflow:
    flow = Workflow("order", 2)
    flow.then("charge_card", ref="charge").fork(Branch().then("pick").then("pack"), ["invoice"])
    flow.join(on=["pack"])
    flow.switch(flow.input.kind, {"gift": ["wrap"], "none": Branch().terminate("FAILED")})
    return flow.wait(for_s=90).then("ship", optional=True)


def test_the_tree_of_an_order() -> None:
    assert order().graph("text").split("\n") == [
        "order version 2",
        "├─ charge  (charge_card)",
        "├─ fork  (FORK_JOIN)",
        "│  ├─ branch 1:",
        "│  │  ├─ pick",
        "│  │  └─ pack",
        "│  └─ branch 2:",
        "│     └─ invoice",
        "├─ fork_join  (JOIN, on pack)",
        "├─ switch  (SWITCH, on ${workflow.input.kind})",
        "│  ├─ case gift:",
        "│  │  └─ wrap",
        "│  └─ case none:",
        "│     └─ terminate  (TERMINATE, FAILED)",
        "├─ wait  (WAIT, duration 90s)",
        "└─ ship  (optional)",
    ]


def test_the_flowchart_of_an_order() -> None:
    assert order().graph().splitlines() == [
        "flowchart TD",
        '  start(["order version 2"])',
        '  n1["charge<br/>charge_card"]',
        "  start --> n1",
        '  n2{{"fork<br/>FORK_JOIN"}}',
        "  n1 --> n2",
        '  n3["pick"]',
        "  n2 --> n3",
        '  n4["pack"]',
        "  n3 --> n4",
        '  n5["invoice"]',
        "  n2 --> n5",
        '  n6{{"fork_join<br/>JOIN<br/>on pack"}}',
        "  n4 --> n6",
        '  n5 -.->|"not awaited"| n6',
        '  n7{"switch<br/>SWITCH<br/>on ${workflow.input.kind}"}',
        "  n6 --> n7",
        '  n8["wrap"]',
        '  n7 -->|"gift"| n8',
        '  n9((("terminate<br/>TERMINATE<br/>FAILED")))',
        '  n7 -->|"none"| n9',
        '  n10(["wait<br/>WAIT<br/>duration 90s"])',
        "  n8 --> n10",
        '  n7 -->|"default"| n10',
        '  n11["ship<br/>optional"]',
        "  n10 --> n11",
        '  finish(["end"])',
        "  n11 --> finish",
    ]


def test_a_loop_goes_back_and_a_dynamic_fork_stands_for_many() -> None:
    body = WorkflowTask(name="poll", task_reference_name="poll")
    loop = WorkflowTask(
        name="l", task_reference_name="l", type="DO_WHILE", loop_condition="$.l.iteration < 3", loop_over=[body]
    )
    many = WorkflowTask(name="m", task_reference_name="m", type="FORK_JOIN_DYNAMIC")
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    definition = WorkflowDef(name="w", tasks=[loop, many, join])
    assert mermaid(definition).splitlines()[2:] == [
        '  n1[/"l<br/>DO_WHILE<br/>while $.l.iteration #lt; 3"/]',
        "  start --> n1",
        '  n2["poll"]',
        '  n1 -->|"each turn"| n2',
        '  n2 -->|"again"| n1',
        '  n3{{"m<br/>FORK_JOIN_DYNAMIC"}}',
        '  n1 -->|"done"| n3',
        '  n4["one branch per element"]',
        "  n3 --> n4",
        '  n5{{"j<br/>JOIN"}}',
        "  n4 --> n5",
        '  finish(["end"])',
        "  n5 --> finish",
    ]
    assert text_tree(definition).splitlines()[1:4] == [
        "├─ l  (DO_WHILE, while $.l.iteration < 3)",
        "│  └─ each turn:",
        "│     └─ poll",
    ]


def test_an_old_decision_is_drawn_with_both_of_its_ways() -> None:
    inner = WorkflowTask(name="a", task_reference_name="a")
    decision = WorkflowTask(
        name="d",
        task_reference_name="d",
        type="DECISION",
        case_value_param="kind",
        input_parameters={"kind": "${workflow.input.kind}"},
        decision_cases={"x": [inner]},
    )
    definition = WorkflowDef(name="w", tasks=[decision])
    assert '  n1 -->|"default"| finish' in mermaid(definition).splitlines()
    assert "└─ d  (DECISION, on ${workflow.input.kind})" in text_tree(definition)


@pytest.mark.parametrize("kind", [*map(str, TaskType), "resize_image"])
def test_every_type_and_an_unknown_one_can_be_drawn(kind: str) -> None:
    odd = WorkflowTask(
        name="odd",
        task_reference_name="odd_one",
        type=kind,
        sink="conductor",
        sub_workflow_param=SubWorkflowParams(name="child"),
    )
    definition = WorkflowDef(name="w", tasks=[odd])
    assert mermaid(definition).count("odd_one") == 1
    assert text_tree(definition).count("odd_one") == 1


def test_a_finished_branch_leads_nowhere() -> None:
    assert "finish" not in Workflow("w").terminate("FAILED").graph()
    assert Workflow("w").graph().splitlines()[-1] == "  start --> finish"


def test_odd_characters_cannot_break_out_of_a_label() -> None:
    task = WorkflowTask(name='a"]\nend', task_reference_name='x"; <b>#1`&')
    drawn = mermaid(WorkflowDef(name="w", tasks=[task]))
    assert '  n1["x#quot;; #lt;b#gt;#35;1#96;#amp;<br/>a#quot;] end"]' in drawn.splitlines()
    assert len(text_tree(WorkflowDef(name="w\nv", tasks=[task])).splitlines()) == 2


def test_long_texts_are_cut() -> None:
    task = WorkflowTask(name="a" * 500, task_reference_name="b" * 500)
    assert max(map(len, text_tree(WorkflowDef(name="w", tasks=[task])).splitlines())) < 200
    assert max(map(len, mermaid(WorkflowDef(name="w", tasks=[task])).splitlines())) < 200


SAYINGS: list[tuple[Callable[[Workflow], object], str]] = [
    (lambda w: w.switch(Script("$.a > 3", {"a": 1}), {"true": "x"}), "switch  (SWITCH, on $.a > 3)"),
    (lambda w: w.fork_each("ship", over=w.input.parcels), "(FORK_JOIN_DYNAMIC, ship, over ${workflow.input.parcels})"),
    (lambda w: w.dynamic_fork(w.input.tasks, {}), "dynamic_fork  (FORK_JOIN_DYNAMIC, over ${workflow.input.tasks})"),
    (lambda w: w.fork("a", "b").join(script=Script("$.x")), "fork_join  (JOIN, on a, b, by $.x)"),
    (lambda w: w.then("a").exclusive_join(["a"], ["b"]), "(EXCLUSIVE_JOIN, on a, else b)"),
    (lambda w: w.for_each(w.input.lines, "a"), "for_each  (DO_WHILE, over ${workflow.input.lines})"),
    (lambda w: w.for_each(w.input.l, "a", while_="$.x"), "(DO_WHILE, over ${workflow.input.l}, while $.x)"),
    (lambda w: w.dynamic(w.input.carrier), "dynamic  (DYNAMIC, ${workflow.input.carrier})"),
    (lambda w: w.sub_workflow("invoice", version=2), "invoice  (SUB_WORKFLOW, invoice version 2)"),
    (lambda w: w.sub_workflow("invoice"), "invoice  (SUB_WORKFLOW, invoice)"),
    (lambda w: w.start_workflow("letter"), "start_workflow  (START_WORKFLOW, letter)"),
    (lambda w: w.set(total=1, sum=2), "set  (SET_VARIABLE, total, sum)"),
    (lambda w: w.http("https://a.example.org", method="PUT"), "http  (HTTP, PUT https://a.example.org)"),
    (
        lambda w: w.http_poll("https://a.example.org", until="$.x"),
        "http_poll  (HTTP_POLL, GET https://a.example.org, until $.x)",
    ),
    (lambda w: w.inline("1 + 1"), "inline  (INLINE, 1 + 1)"),
    (lambda w: w.jq(".a"), "jq  (JSON_JQ_TRANSFORM, .a)"),
    (lambda w: w.event("conductor:paid"), "event  (EVENT, conductor:paid)"),
    (lambda w: w.kafka_publish("orders", 1, servers="k"), "kafka_publish  (KAFKA_PUBLISH, orders)"),
    (lambda w: w.rq("shop.tasks.charge"), "rq  (RQ, shop.tasks.charge)"),
    (lambda w: w.pull_messages(batch_size=5), "pull_messages  (PULL_WORKFLOW_MESSAGES, up to 5)"),
    (lambda w: w.human(ref="approve"), "approve  (HUMAN)"),
    (lambda w: w.wait_for_webhook({"$.a": 1, "$.b": "x"}), "wait_for_webhook  (WAIT_FOR_WEBHOOK, $.a = 1, $.b = x)"),
    (lambda w: w.with_options(optional=True).noop(), "noop  (NOOP, optional)"),
]


@pytest.mark.parametrize(("write", "line"), SAYINGS)
def test_a_step_says_what_tells_it_from_others_of_its_type(write: Callable[[Workflow], object], line: str) -> None:
    flow = Workflow("w")
    write(flow)
    assert any(drawn.endswith(line) for drawn in flow.graph("text").splitlines())
    assert flow.graph("mermaid").startswith("flowchart TD\n")


def test_a_workflow_that_is_carried_along_is_drawn_in_its_place() -> None:
    inner = Workflow("inner").then("a").then("b")
    assert Workflow("w").sub_workflow(inner, inline=True).then("c").graph("text").splitlines() == [
        "w version 1",
        "├─ inner  (SUB_WORKFLOW, inner, inline)",
        "│  └─ workflow:",
        "│     ├─ a",
        "│     └─ b",
        "└─ c",
    ]
