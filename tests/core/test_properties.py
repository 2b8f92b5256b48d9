"""Any workflow, any order of events: what it comes to is what the slow reference says, whoever decides, warm or cold.

Definitions are drawn from all operators; outcomes arrive late, twice and in batches, with pauses in between, scripts are
answered at once or by a task, and the limits of a decision are set so low that nearly everything is done in slices. The
story checks the books of each step.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import closing, draft, undoing
from orchestrator.core.operators import fork as fork_operator
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.events import Continued, Event
from orchestrator.model.status import is_terminal
from tests.core.reference import BROKEN, CHILD, FOR_GOOD, SCRIPTS, Plan, Reference
from tests.support import story as story_room
from tests.support.build import (
    dynamic_fork,
    fork,
    join,
    loop,
    noop,
    set_variable,
    simple,
    step,
    sub_workflow,
    switch,
    task_def,
    terminate,
    wait,
    workflow_def,
)
from tests.support.conditions import Conditions
from tests.support.happenings import accepted, completed, failed, operation, reported, started
from tests.support.story import Story

INPUT = {"kind": "x"}
VARIABLES = {"v": 0}
STEPS_MAX = 4000
CASES = 1000

OUTSIDE = "charge"
"""The task that DYNAMIC steps turn out to be."""


class Scripts(Conditions):
    """Answers the scripts of the reference; some, always the same ones, are left to a task."""

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        if hashlib.sha256(seed.encode()).digest()[0] % 3 == 0:
            return None
        return self.outside(script, input)

    def outside(self, script: str, input: dict[str, Any]) -> Evaluation:
        """The answer, wherever it is given."""
        if script == BROKEN:
            return Evaluation(error=BROKEN)
        if script in SCRIPTS:
            return Evaluation(SCRIPTS[script](input))
        answer = super().evaluate("javascript", script, input, now_ms=0, seed="")
        assert answer is not None, script
        return answer


class Drawn:
    """A definition in the making."""

    def __init__(self, draw: Any, *, may_end: bool) -> None:
        self.draw = draw
        self.may_end = may_end
        self.count = 0
        self.loops = 0  # around what is being drawn
        self.plans: dict[str, Plan] = {}

    def ref(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def tasks(self, depth: int, earlier: list[str]) -> list[WorkflowTask]:
        """A list of steps; ``earlier`` are the steps that have surely ended when it begins."""
        found: list[WorkflowTask] = []
        known = list(earlier)
        for _ in range(self.draw(st.integers(1, 3))):
            more = self.step(depth, known)
            found += more
            known += [task.task_reference_name for task in more]
        return found

    def step(self, depth: int, known: list[str]) -> list[WorkflowTask]:
        kinds = ["simple", "simple", "noop", "set_variable", "wait", "human", "inline", "dynamic", "sub", "fan"]
        kinds += ["terminate"] if self.may_end else []
        kinds += ["fork", "fork", "switch", "decision", "loop", "exclusive"] if depth else []
        kind = self.draw(st.sampled_from(kinds))
        ref = self.ref(kind)
        match kind:
            case "simple":
                return [simple(ref, self.reads(known), **self.work(ref))]
            case "noop":
                return [noop(ref)]
            case "wait":
                return [wait(ref)]
            case "human":
                return [step("HUMAN", ref)]
            case "dynamic":
                given = {"what": OUTSIDE, **self.reads(known)}
                return [step("DYNAMIC", ref, given, dynamic_task_name_param="what", **self.work(ref))]
            case "sub":
                return [sub_workflow(ref, **self.work(ref))]
            case "set_variable":
                return [set_variable(ref, **{ref: self.read(known)})]
            case "terminate":
                return [terminate(ref, self.draw(st.sampled_from(["COMPLETED", "FAILED", "TERMINATED"])))]
            case "inline":
                return [self.inline(ref, known)]
            case "fan":
                return self.fan(ref)
            case "switch":
                return [self.switch(ref, depth, known)]
            case "decision":
                return [self.decision(ref, depth, known)]
            case "loop":
                return self.loop(ref, depth, known)
            case "exclusive":
                return self.exclusive(ref, depth, known)
        return self.forked(ref, depth, known)

    def forked(self, ref: str, depth: int, known: list[str]) -> list[WorkflowTask]:
        branches = [self.tasks(depth - 1, known) for _ in range(self.draw(st.integers(1, 3)))]
        inside = [task.task_reference_name for branch in branches for task in _joinable(branch)]
        lasts = [branch[-1].task_reference_name for branch in branches]
        on = self.draw(st.one_of(st.just(lasts), st.lists(st.sampled_from([*inside, *known]), max_size=5)))
        on = [name for name in on if name in inside]
        # Every branch is waited for, because the reference knows no branch that goes on beside what follows its fork.
        return [fork(ref, *branches), join(f"{ref}_join", *on, *lasts, *inside)]

    def fan(self, ref: str) -> list[WorkflowTask]:
        branches = []
        for number in range(self.draw(st.integers(0, 4))):
            name = f"{ref}_{number}"
            fields = self.work(name)
            fields["retryCount"] = fields.pop("retry_count")
            branches.append({"name": name, "taskReferenceName": name, "type": "SIMPLE", **fields})
        given = {"tasks": branches, "inputs": {branch["name"]: {"x": 1} for branch in branches}}
        params = {"dynamic_fork_tasks_param": "tasks", "dynamic_fork_tasks_input_param_name": "inputs"}
        return dynamic_fork(ref, given, **params)

    def loop(self, ref: str, depth: int, known: list[str]) -> list[WorkflowTask]:
        self.loops += 1
        body = self.tasks(depth - 1, known)
        self.loops -= 1
        rounds = self.draw(st.integers(0, 3))
        # The body cannot read its own loop: what that shows of the round at hand depends on the order of events.
        if self.draw(st.booleans()):
            made = loop(ref, "", *body, given={"_items": list(range(rounds))})
            made.loop_condition = None
        else:
            made = loop(ref, f"$.{ref}.iteration < {rounds}", *body)
        return [made]

    def inline(self, ref: str, known: list[str]) -> WorkflowTask:
        given = {"value": self.read(known), "round": self.draw(st.integers(0, 3)), "expression": self.script()}
        flags = {"optional": True} if given["expression"] == BROKEN and not self.may_end else {}
        if self.draw(st.booleans()):
            given |= {"evaluatorType": "value-param", "expression": "value"}
        return step("INLINE", ref, given, **flags)

    def script(self) -> str:
        found: str = self.draw(st.sampled_from([*SCRIPTS, BROKEN]))
        return found

    def cases(self, depth: int, known: list[str]) -> dict[str, list[WorkflowTask]]:
        labels = self.draw(st.sets(st.sampled_from(["x", "y", "<x>", "true", "3", "null"]), max_size=3))
        return {label: self.tasks(depth - 1, known) if self.draw(st.integers(0, 4)) else [] for label in sorted(labels)}

    def switch(self, ref: str, depth: int, known: list[str]) -> WorkflowTask:
        value = self.draw(st.sampled_from(["${workflow.input.kind}", "y", "none", None]))
        default = self.tasks(depth - 1, known) if self.draw(st.booleans()) else []
        made = switch(ref, value, self.cases(depth, known), default)
        made.input_parameters["round"] = 1
        if self.draw(st.booleans()):
            made.evaluator_type = self.draw(st.sampled_from(["javascript", "graaljs", "python"]))
            made.expression = self.script()
            made.optional = made.expression == BROKEN and (not self.may_end or self.draw(st.booleans()))
        return made

    def decision(self, ref: str, depth: int, known: list[str]) -> WorkflowTask:
        given = {"value": self.draw(st.sampled_from(["${workflow.input.kind}", "y", None])), "round": 1}
        scripts = [None, *SCRIPTS, *([BROKEN] if self.may_end else [])]
        default = self.tasks(depth - 1, known) if self.draw(st.booleans()) else []
        return step(
            "DECISION",
            ref,
            given,
            case_value_param="value",
            case_expression=self.draw(st.sampled_from(scripts)),
            decision_cases=self.cases(depth, known),
            default_case=default,
        )

    def exclusive(self, ref: str, depth: int, known: list[str]) -> list[WorkflowTask]:
        choice = self.switch(f"{ref}_choice", depth, known)
        on = [case[-1].task_reference_name for case in choice.decision_cases.values() if case]
        ended = [name for name in known if self.loops == 0 and not name.startswith("loop")]
        otherwise = self.draw(st.lists(st.sampled_from(ended), max_size=1)) if ended else []
        otherwise += [choice.default_case[-1].task_reference_name] if choice.default_case else []
        return [choice, step("EXCLUSIVE_JOIN", ref, join_on=on, default_exclusive_join_task=otherwise)]

    def work(self, ref: str) -> dict[str, Any]:
        """What becomes of a task that somebody outside carries out; gives the fields of its step."""
        choices = ["", "", "optional", "optional", *(["permissive"] if self.may_end else [])]
        flags = self.draw(st.sampled_from(choices))
        retries = self.draw(st.integers(0, 2))
        failing = self.may_end or flags == "optional"
        failures = self.draw(st.integers(0, retries + 1 if failing else retries))
        self.plans[ref] = Plan(failures, failing and failures > 0 and self.draw(st.booleans()))
        return {"retry_count": retries, **{flag: True for flag in [flags] if flag}}

    def reads(self, known: list[str]) -> dict[str, Any]:
        return {"one": self.read(known), "kind": "${workflow.input.kind}"}

    def read(self, known: list[str]) -> Any:
        """Something that has the same value in whatever order the branches run."""
        choices = ["fixed", *(f"${{{ref}.{field}}}" for ref in known for field in ("output.by", "status"))]
        choices += [f"${{{ref}.output}}" for ref in known]
        choices += [f"${{workflow.variables.{ref}}}" for ref in known if ref.startswith("set_variable")]
        return self.draw(st.sampled_from(choices))


def inner_lists(task: WorkflowTask) -> Iterator[list[WorkflowTask]]:
    """The lists of steps inside a step."""
    yield from (*task.fork_tasks, *task.decision_cases.values(), task.default_case, task.loop_over)


def _all(tasks: list[WorkflowTask]) -> Iterator[WorkflowTask]:
    for task in tasks:
        yield task
        for inner in inner_lists(task):
            yield from _all(inner)


def _joinable(tasks: list[WorkflowTask]) -> Iterator[WorkflowTask]:
    """What a JOIN may list: nothing inside a loop."""
    for task in tasks:
        yield task
        for inner in (*task.fork_tasks, *task.decision_cases.values(), task.default_case):
            yield from _joinable(inner)


@st.composite
def workflows(draw: Any, *, may_end: bool) -> tuple[list[WorkflowTask], dict[str, Plan]]:
    drawn = Drawn(draw, may_end=may_end)
    return drawn.tasks(2, []), drawn.plans


@contextmanager
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft, "TASKS_PER_DECISION", 3)
        patch.setattr(fork_operator, "BRANCHES_PER_SLICE", 2)
        patch.setattr(closing, "CANCEL_AT_ONCE", 1)
        patch.setattr(undoing, "DROPS_PER_DECISION", 2)
        patch.setattr(story_room, "SLICE", 2)
        yield


class Run:
    """One workflow under a random order of events, as an inbox would deliver them: accepted first, decided later."""

    def __init__(self, tasks: list[WorkflowTask], plans: dict[str, Plan], seed: int) -> None:
        self.random = random.Random(seed)
        self.plans = plans
        self.scripts = Scripts()
        self.kinds = {task.task_reference_name: task.type for task in _all(tasks)}
        outputs = {ref: f"${{{ref}.output}}" for ref in self.kinds}
        definition = workflow_def(*tasks, variables=VARIABLES, output_parameters=outputs)
        defs = [task_def(ref) for ref in (*plans, OUTSIDE)]
        self.story = Story(definition, input=INPUT, task_defs=defs, in_one_go=False, scripts=self.scripts)
        self.inbox: list[Event] = []
        self.past: list[Event] = []
        self.promised: set[tuple[str, int]] = set()

    def to_the_end(self) -> Story:
        self.story.when(started())
        for _ in range(STEPS_MAX):
            if is_terminal(self.story.status) and not self.story.open and not self.story.owed and not self.inbox:
                self._check_promises()
                return self.story
            self._step()
        raise AssertionError("the workflow does not come to an end")

    def _step(self) -> None:
        waiting = [entry for entry in self.story.dispatch.values() if entry.state != "A"]
        chance = self.random.random()
        if chance < 0.05:
            self.story.when(operation("pause"))
        elif chance < 0.1 or (self.story.status == "PAUSED" and chance < 0.3):
            self.story.when(operation("resume"))
        elif chance < 0.55 and waiting:
            self._report(self.random.choice(waiting).ref)
        elif chance < 0.65 and self.past:
            self.story.take(self.random.choice(self.past))
        elif self.inbox and chance < 0.9:
            count = self.random.randint(1, 3)
            batch, self.inbox = self.inbox[:count], self.inbox[count:]
            self.past += batch
            self.story.take(*batch)
        elif self.story.owed:
            self.story.owed -= 1
            self.story.take(Continued(at_ms=self.story.now))

    def _report(self, ref: str) -> None:
        attempt = self.story.task(ref).attempt
        event = self._outcome(ref, attempt)(self.story)
        assert event is not None
        accepted(ref)(self.story)
        self.inbox.append(event)
        self.promised.add((ref, attempt))

    def _outcome(self, ref: str, attempt: int) -> Any:
        task = self.story.task(ref)
        if "#" in ref:
            answer = self.scripts.outside(task.input["script"], task.input["input"])
            return (
                completed(ref, {"result": answer.value}) if answer.error is None else failed(ref, BROKEN, terminal=True)
            )
        name = ref.partition("__")[0]
        plan = self.plans.get(name, Plan(0))
        is_child = self.kinds.get(name) == "SUB_WORKFLOW"
        child: dict[str, Any] = {"delivery": -1, "merge": True, "child_workflow_id": "child"} if is_child else {}
        if attempt < plan.failures:
            status = FOR_GOOD if plan.for_good else "FAILED"
            return reported(ref, status, reason="broken", **child)
        seen = task.input if name in self.plans and not is_child else None
        return completed(ref, {"by": ref, "saw": _plain(seen)}, **child)

    def _check_promises(self) -> None:
        for ref, attempt in self.promised:
            latest = self.story.task(ref)
            found = latest if latest.attempt == attempt else self.story.earlier(ref, attempt)
            assert found.status != "CANCELED", f"the accepted outcome of {ref} was lost"


def _plain(value: Any) -> Any:
    """With the same id for all children: the reference does not know them."""
    if isinstance(value, dict):
        return {name: CHILD if name == "subWorkflowId" else _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _statuses(story: Story) -> dict[str, str]:
    """By task, without the tasks of scripts."""
    return {ref: status for ref, status in story.statuses.items() if "#" not in ref}


@pytest.mark.timeout(300)
@settings(max_examples=CASES)
@given(workflows(may_end=False), st.integers(0, 2**32))
def test_a_workflow_that_can_end_well_comes_to_the_same_in_any_order(
    drawn: tuple[list[WorkflowTask], dict[str, Plan]], seed: int
) -> None:
    tasks, plans = drawn
    reference = Reference(plans, INPUT, VARIABLES)
    reference.run(tasks)
    with small_limits():
        run = Run(tasks, plans, seed)
        story = run.to_the_end()
    assert _statuses(story) == reference.statuses
    assert story.status == reference.status() == "COMPLETED"
    wanted = {ref: reference.output_of(ref) for ref in run.kinds}
    assert _plain(story.output) == wanted
    assert _plain(story.variables) == reference.variables


@pytest.mark.timeout(300)
@settings(max_examples=CASES)
@given(workflows(may_end=True), st.integers(0, 2**32))
def test_a_workflow_that_may_end_early_ends_once_and_everything_it_completed_is_right(
    drawn: tuple[list[WorkflowTask], dict[str, Plan]], seed: int
) -> None:
    tasks, plans = drawn
    reference = Reference(plans, INPUT, VARIABLES)
    reference.run(tasks)
    with small_limits():
        story = Run(tasks, plans, seed).to_the_end()
    found = _statuses(story)
    assert story.status in (reference.ends or {reference.status()})
    for ref, status in found.items():
        name = ref.partition("__")[0]
        if status == "CANCELED":
            assert reference.ends
        elif reference.ends and name in plans and plans[name].failures:
            assert status in ALLOWED[reference.statuses[ref]]  # its last attempt may have come too late to be retried
        else:
            assert status == reference.statuses[ref]
    if not reference.ends:
        assert found.keys() == reference.statuses.keys()


ALLOWED = {
    "COMPLETED": {"COMPLETED", "FAILED"},
    "COMPLETED_WITH_ERRORS": {"COMPLETED_WITH_ERRORS", "FAILED", FOR_GOOD},
    "FAILED": {"FAILED", FOR_GOOD},
    FOR_GOOD: {"FAILED", FOR_GOOD},
}
