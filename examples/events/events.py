"""Messages: an EVENT task publishes one, a handler starts a workflow for it, and that workflow answers."""

from orchestrator import Workflow, task, testing
from orchestrator.model.event_handlers import event_handler_from_dict


@task
def print_label(order: str) -> str:
    """Work of the department that is told."""
    return f"label of {order}"


order = Workflow("order")
# Published once; async_complete leaves the step open until somebody answers.
order.with_options(async_complete=True).event("conductor:paid", order=order.input.id, ref="tell")
order.output(label="${tell.output.label}")

labels = Workflow("labels").then(print_label, order="${workflow.input.order}")
labels.event("conductor:printed", of="${workflow.input.of}", label="${print_label.output.result}", ref="answer")

handlers = [
    {
        "name": "print_when_paid",
        "event": "conductor:order:paid",
        "active": True,
        "actions": [
            {
                "action": "start_workflow",
                "start_workflow": {"name": "labels", "input": {"order": "${order}", "of": "${workflowInstanceId}"}},
            }
        ],
    },
    {
        "name": "go_on_when_printed",
        "event": "conductor:labels:printed",
        "active": True,
        "actions": [
            {
                "action": "complete_task",
                "complete_task": {"workflowId": "${of}", "taskRefName": "tell", "output": {"label": "${label}"}},
            }
        ],
    },
]

if __name__ == "__main__":
    with testing.environment([print_label]) as env:
        env.client.register(order, labels)
        env.client.apply_event_handlers(*(event_handler_from_dict(handler) for handler in handlers))
        handle = env.client.start_workflow("order", id="17")
        print(handle.result())
        print([done.action for done in env.client.event_executions("print_when_paid")])
