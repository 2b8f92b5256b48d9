"""Any workflow, upgraded at any moment to versions with more steps, or back: nothing is done twice, nothing is left out.

Definitions and the order of events are drawn as in ``test_properties``; the story checks the books of each step.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.program import JOIN_TYPES, Program
from orchestrator.model.definitions import WorkflowTask
from tests.core.reference import Plan, Reference
from tests.core.test_properties import INPUT, VARIABLES, Run, inner_lists, small_limits, workflows
from tests.support.build import noop, simple, workflow_def
from tests.support.happenings import operation

NEW = "new"


def lists_of(tasks: list[WorkflowTask]) -> Iterator[list[WorkflowTask]]:
    """A list of steps and all lists inside it; an empty branch is not one, steps in it would make it another choice."""
    if tasks:
        yield tasks
    for task in tasks:
        for inner in inner_lists(task):
            yield from lists_of(inner)


def grown(tasks: list[WorkflowTask], rng: random.Random, mark: str) -> list[WorkflowTask]:
    """The same with new steps anywhere but before a JOIN, and new branches of forks."""
    count = 0

    def made() -> WorkflowTask:
        nonlocal count
        count += 1
        return (noop if rng.random() < 0.5 else simple)(f"{mark}{count}")

    more = copy.deepcopy(tasks)
    for steps in list(lists_of(more)):
        for place in range(len(steps), -1, -1):
            if rng.random() < 0.3 and not (place < len(steps) and steps[place].type in JOIN_TYPES):
                steps.insert(place, made())
        for task in steps:
            if task.type == "FORK_JOIN" and rng.random() < 0.3:
                task.fork_tasks.append([made()])
    return more


class Upgraded(Run):
    """A run whose workflow is upgraded now and then."""

    def __init__(self, tasks: list[WorkflowTask], plans: dict[str, Plan], seed: int) -> None:
        super().__init__(tasks, plans, seed)
        first = self.story.programs["0"] = self.story.program
        for version in (1, 2):
            tasks = grown(tasks, self.random, f"{NEW}_{version}_")
            definition = workflow_def(
                *tasks, version=version + 1, variables=VARIABLES, output_parameters=first.definition.output_parameters
            )
            self.story.programs[str(version)] = Program(definition)

    def _step(self) -> None:
        if self.random.random() < 0.05:
            self.story.when(operation("upgrade", definition_hash=self.random.choice("0112")))
        super()._step()


@pytest.mark.timeout(300)
@settings(max_examples=150, deadline=None)
@given(workflows(may_end=False), st.integers(0, 2**32))
def test_a_workflow_that_is_upgraded_does_every_step_that_it_had_once(
    drawn: tuple[list[WorkflowTask], dict[str, Plan]], seed: int
) -> None:
    tasks, plans = drawn
    reference = Reference(plans, INPUT, VARIABLES)
    reference.run(tasks)
    with small_limits():
        run = Upgraded(tasks, plans, seed)
        run.to_the_end()
    found = {ref: status for ref, status in run.story.statuses.items() if "#" not in ref}
    assert run.story.status == "COMPLETED", run.story.core.reason
    assert {ref: status for ref, status in found.items() if not ref.startswith(NEW)} == reference.statuses
    assert {status for ref, status in found.items() if ref.startswith(NEW)} <= {"COMPLETED", "SKIPPED"}
    for answer in run.story.answers:
        assert answer.get("error") in (None, "CONFLICT"), answer
