"""Loops and dynamic forks, for every third seed: rounds over a list, with branches made at run time in each, some forgotten.

They draw from a source of their own, like the families. Their lists end the loops, so no script is asked.
"""

from __future__ import annotations

import random

from orchestrator.model.definitions import WorkflowDef, WorkflowTask

SELDOM = 3


def has_rounds(seed: int) -> bool:
    """Whether loops and dynamic forks occur in the seed."""
    return seed % SELDOM == 2


def definitions(rng: random.Random) -> list[WorkflowDef]:
    """A loop whose body forks dynamically, and a dynamic fork one of whose branches is a loop."""
    return [_looped(rng), _fanned(rng)]


def _looped(rng: random.Random) -> WorkflowDef:
    given = {"forkTaskName": "plain", "forkTaskInputs": list(range(rng.randrange(0, 4)))}
    body = [
        WorkflowTask(name="fan", task_reference_name="fan", type="FORK_JOIN_DYNAMIC", input_parameters=given),
        WorkflowTask(name="fanned", task_reference_name="fanned", type="JOIN"),
        WorkflowTask(
            name="flaky", task_reference_name="flaky_turn", input_parameters={"at": "${turns.output.loopItem}"}
        ),
    ]
    loop = WorkflowTask(
        name="turns",
        task_reference_name="turns",
        type="DO_WHILE",
        items=list_of(rng.randrange(0, 4)),
        loop_over=body,
        input_parameters={"keepLastN": 1} if rng.random() < 0.5 else {},
    )
    return WorkflowDef(
        name="looped",
        tasks=[loop, WorkflowTask(name="plain", task_reference_name="plain_end")],
        variables=VARIABLES,
        output_parameters={"turns": "${turns.output}"},
    )


def _fanned(rng: random.Random) -> WorkflowDef:
    inner = {"name": "limited", "taskReferenceName": "limited_turn"}
    loop = {
        "name": "inside",
        "taskReferenceName": "inside",
        "type": "DO_WHILE",
        "items": list_of(rng.randrange(1, 3)),
        "loopOver": [inner],
    }
    others = [{"name": "flaky", "taskReferenceName": f"flaky_{n}", "optional": True} for n in range(rng.randrange(3))]
    fan = WorkflowTask(
        name="fan",
        task_reference_name="fan",
        type="FORK_JOIN_DYNAMIC",
        input_parameters={"tasks": [loop, *others], "inputs": {}},
        dynamic_fork_tasks_param="tasks",
        dynamic_fork_tasks_input_param_name="inputs",
    )
    return WorkflowDef(
        name="fanned",
        tasks=[fan, WorkflowTask(name="fanned", task_reference_name="fanned", type="JOIN")],
        variables=VARIABLES,
        output_parameters={"inside": "${fanned.output.inside.iteration}"},
    )


def list_of(count: int) -> str:
    """An expression whose value is one of the lists in every workflow's variables."""
    return f"${{workflow.variables.list_{count}}}"


VARIABLES = {f"list_{count}": list(range(count)) for count in range(4)}
