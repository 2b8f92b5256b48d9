# mypy: disable-error-code="import-not-found,untyped-decorator"
"""A workflow of two workers, written as the guides of the official Python SDK have it: made in code, run at once.

``python sdk_emails.py URL USER_ID`` prints what became of it as JSON. Runs in the SDK's environment.
"""

import json
import sys

from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration
from conductor.client.orkes_clients import OrkesClients
from conductor.client.worker.worker_task import worker_task
from conductor.client.workflow.conductor_workflow import ConductorWorkflow


@worker_task(task_definition_name="get_user_email")
def get_user_email(user_id: str) -> str:
    return f"{user_id}@mail.example"


@worker_task(task_definition_name="send_email")
def send_email(email: str, subject: str, body: str) -> str:
    return f"{subject} -> {email}: {body}"


def main() -> None:
    """Work, run the workflow, say how it ended."""
    configuration = Configuration(server_api_url=sys.argv[1])
    with TaskHandler(configuration=configuration) as handler:
        handler.start_processes()
        workflow = ConductorWorkflow(
            executor=OrkesClients(configuration).get_workflow_executor(), name="dynamic_emails", version=1
        )
        find = get_user_email(task_ref_name="find", user_id=workflow.input("user_id"))
        send = send_email(task_ref_name="send", email=find.output("result"), subject="Hello", body="How are you?")
        workflow >> find >> send
        workflow.output_parameters({"email": find.output("result"), "sent": send.output("result")})
        run = workflow.execute(workflow_input={"user_id": sys.argv[2]}, wait_for_seconds=20)
        told = {"status": run.status, "output": run.output, "id": run.workflow_id}
        print("ended", json.dumps(told), flush=True)
        handler.stop_processes()


if __name__ == "__main__":
    main()
