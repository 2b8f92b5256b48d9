"""A definition as it comes out of a Conductor installation, with the deprecated types that old ones use, run as it is."""

import json

from orchestrator import task, testing
from orchestrator.model.wire import workflow_def_from_dict

EXPORTED = """
{
  "name": "shipping_old", "version": 3, "schemaVersion": 2, "ownerEmail": "shop@example.org",
  "tasks": [
    {"name": "weigh", "taskReferenceName": "weigh", "type": "LAMBDA",
     "inputParameters": {"lines": "${workflow.input.lines}",
                         "scriptExpression": "return $.lines.reduce((sum, line) => sum + line.grams, 0) > 1000;"}},
    {"name": "choose", "taskReferenceName": "choose", "type": "DECISION", "caseValueParam": "is_heavy",
     "inputParameters": {"is_heavy": "${weigh.output.result}"},
     "decisionCases": {
       "true": [{"name": "by_truck", "taskReferenceName": "truck", "inputParameters": {"to": "${workflow.input.to}"}}]},
     "defaultCase": [{"name": "by_bike", "taskReferenceName": "bike", "inputParameters": {"to": "${workflow.input.to}"}}]}
  ],
  "outputParameters": {"case": "${choose.output.caseOutput[0]}", "truck": "${truck.output.result}",
                       "bike": "${bike.output.result}"}
}
"""


@task
def by_truck(to: str) -> str:
    """One of the carriers."""
    return f"a truck to {to}"


@task
def by_bike(to: str) -> str:
    """The other one."""
    return f"a bike to {to}"


if __name__ == "__main__":
    shipping = workflow_def_from_dict(json.loads(EXPORTED))
    for grams in (300, 3000):
        result = testing.run(shipping, {"to": "Bonn", "lines": [{"grams": grams}, {"grams": 1}]}, [by_truck, by_bike])
        print(result.output)
