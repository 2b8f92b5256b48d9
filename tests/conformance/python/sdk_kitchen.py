# mypy: disable-error-code="import-not-found"
"""A workflow with every class of tasks that the official Python SDK has, language models apart. Runs in its environment.

``python sdk_kitchen.py URL ADDRESS BROKER`` registers it, calls ADDRESS from its HTTP tasks, publishes to the Kafka BROKER,
starts it and prints its id, and which classes its steps were made of.
"""

import gc
import json
import sys

from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models.start_workflow_request import StartWorkflowRequest
from conductor.client.orkes_clients import OrkesClients
from conductor.client.workflow.conductor_workflow import ConductorWorkflow
from conductor.client.workflow.executor.workflow_executor import WorkflowExecutor
from conductor.client.workflow.task.do_while_task import DoWhileTask, ForEachTask, LoopTask
from conductor.client.workflow.task.dynamic_fork_task import DynamicForkTask
from conductor.client.workflow.task.dynamic_task import DynamicTask
from conductor.client.workflow.task.event_task import ConductorEventTask, SqsEventTask
from conductor.client.workflow.task.fork_task import ForkTask
from conductor.client.workflow.task.http_poll_task import HttpPollInput, HttpPollTask
from conductor.client.workflow.task.http_task import HttpInput, HttpMethod, HttpTask
from conductor.client.workflow.task.human_task import HumanTask
from conductor.client.workflow.task.inline import InlineTask
from conductor.client.workflow.task.javascript_task import JavascriptTask
from conductor.client.workflow.task.join_task import JoinTask
from conductor.client.workflow.task.json_jq_task import JsonJQTask
from conductor.client.workflow.task.kafka_publish import KafkaPublishTask
from conductor.client.workflow.task.kafka_publish_input import KafkaPublishInput
from conductor.client.workflow.task.pull_workflow_messages_task import PullWorkflowMessagesTask
from conductor.client.workflow.task.set_variable_task import SetVariableTask
from conductor.client.workflow.task.simple_task import SimpleTask
from conductor.client.workflow.task.start_workflow_task import StartWorkflowTask
from conductor.client.workflow.task.sub_workflow_task import InlineSubWorkflowTask, SubWorkflowTask
from conductor.client.workflow.task.switch_task import SwitchTask
from conductor.client.workflow.task.task import TaskInterface
from conductor.client.workflow.task.terminate_task import TerminateTask, WorkflowStatus
from conductor.client.workflow.task.wait_for_webhook_task import WaitForWebHookTask
from conductor.client.workflow.task.wait_task import WaitForDurationTask, WaitTask, WaitUntilTask


def variable(ref: str, **variables: object) -> TaskInterface:
    """A step that sets variables."""
    task = SetVariableTask(ref)
    task.input_parameters.update(variables)
    return task


def inline(ref: str, script: str, **bindings: object) -> TaskInterface:
    """A step that computes."""
    return InlineTask(ref, script, bindings)


def optional(task: TaskInterface) -> TaskInterface:
    """A step whose failure is no failure of the workflow."""
    task.optional = True
    return task


def computing(workflow: ConductorWorkflow) -> list[TaskInterface]:
    """Steps that the engine does by itself."""
    script = JavascriptTask("script", "(function () { return {sum: $.a + 1}; })();", {"a": workflow.input("a")})
    jq = JsonJQTask("jq", ".list | length")
    jq.input_parameters["list"] = [1, 2, 3]
    by_value = SwitchTask("by_value", workflow.input("dish"))
    by_value.switch_case("soup", [variable("soup", spoon=True)]).default_case([variable("other", spoon=False)])
    by_script = SwitchTask("by_script", "$.n > 3 ? 'many' : 'few'", use_javascript=True)
    by_script.input_parameters["n"] = jq.output("result")
    by_script.switch_case("many", [variable("many", n="many")]).switch_case("few", [variable("few", n="few")])
    return [script, inline("inline", "$.b * 2", b=script.output("sum")), jq, by_value, by_script]


def branching() -> list[TaskInterface]:
    """Forks, and loops of each kind."""
    fork = ForkTask("fork", [[inline("left", "1")], [inline("right", "2")]], join_on=["left", "right"])
    scripted = ForkTask("scripted", [[inline("one", "1")], [inline("two", "2")]])
    join = JoinTask("by_join_script", join_on=["one", "two"], join_on_script=JOIN_SCRIPT)
    dynamic_fork = DynamicForkTask("dynamic_fork", join_task=JoinTask("dynamic_join"))
    branches = [{"name": "INLINE", "taskReferenceName": f"plate_{n}", "type": "INLINE"} for n in (1, 2)]
    given = {f"plate_{n}": {"evaluatorType": "graaljs", "expression": f"{n} * 10"} for n in (1, 2)}
    dynamic_fork.input_parameters.update({"dynamicTasks": branches, "dynamicTasksInputs": given})
    repeat = DoWhileTask("repeat", "if ($.repeat.iteration < 2) { true; } else { false; }", [inline("stir", "'s'")])
    times = LoopTask("times", 3, [inline("knead", "'k'")])
    each = ForEachTask("each", [inline("season", "$.x + '!'", x="${each.output.loopItem}")], "${workflow.input.herbs}")
    return [fork, scripted, join, dynamic_fork, repeat, times, each]


JOIN_SCRIPT = """(function () {
  for (var ref of $.joinOn) { if ($[ref].status !== 'COMPLETED') { return {status: 'IN_PROGRESS'}; } }
  return {status: 'COMPLETED'};
})();"""


def families(executor: WorkflowExecutor) -> list[TaskInterface]:
    """Other workflows: by name, inline, and started beside this one."""
    helper = ConductorWorkflow(executor=executor, name="kitchen_helper", version=1) >> inline("peel", "'peeled'")
    helper.register(overwrite=True)
    unregistered = ConductorWorkflow(executor=executor, name="kitchen_inline", version=1) >> inline("cut", "'cut'")
    request = StartWorkflowRequest(input={"by": "kitchen"}, correlation_id="kitchen")
    return [
        SubWorkflowTask("helper", "kitchen_helper", version=1),
        InlineSubWorkflowTask("helper_inline", unregistered),
        StartWorkflowTask("beside", "kitchen_helper", request, version=1),
    ]


def reaching_out(address: str, broker: str) -> list[TaskInterface]:
    """HTTP, Kafka and events; for SQS nobody is there, which is told and passed over."""
    http = HttpTask("http", HttpInput(uri=address, method=HttpMethod.GET, headers={"x-dish": ["soup"]}))
    poll_input = HttpPollInput(
        uri=address, termination_condition="$.output.response.statusCode == 200", polling_interval=1
    )
    serializer = "org.apache.kafka.common.serialization.StringSerializer"
    kafka = KafkaPublishInput(
        bootstrap_servers=broker,
        topic="orders",
        value="soup",
        key="dish",
        key_serializer=serializer,
        request_timeout_ms="10000",
        max_block_ms="10000",
    )
    return [
        http,
        HttpPollTask("http_poll", poll_input),
        ConductorEventTask("event", "served"),
        optional(SqsEventTask("sqs", "orders")),
        KafkaPublishTask("kafka", kafka),
    ]


def waiting() -> list[TaskInterface]:
    """Steps that wait: for a time, a worker, a human, a message, a caller."""
    return [
        WaitTask("wait", wait_for_seconds=1),
        WaitTask("wait_until", wait_until="2020-01-01 10:00"),
        WaitForDurationTask("wait_duration", 1),
        WaitUntilTask("wait_date", "2020-01-01 10:00"),
        SimpleTask("cook", "simple"),
        DynamicTask("cook", "dynamic"),
        HumanTask("human", display_name="Taste it"),
        PullWorkflowMessagesTask("message", batch_size=2),
        WaitForWebHookTask("webhook", {"$['dish']": "soup"}),
    ]


def main() -> None:
    """Register the workflow and start it."""
    executor = OrkesClients(Configuration(server_api_url=sys.argv[1])).get_workflow_executor()
    workflow = ConductorWorkflow(executor=executor, name="kitchen_sink", version=1)
    end = TerminateTask("end", WorkflowStatus.COMPLETED, "all eaten")
    end.input_parameters["workflowOutput"] = {"inline": "${inline.output.result}"}
    steps = [*computing(workflow), *branching(), *families(executor), *reaching_out(*sys.argv[2:]), *waiting()]
    for step in (*steps, end, inline("never", "'never reached'")):
        workflow = workflow >> step
    workflow.register(overwrite=True)
    request = StartWorkflowRequest(name="kitchen_sink", version=1, input={"a": 4, "dish": "soup", "herbs": ["a", "b"]})
    made = {one.task_reference_name: type(one).__name__ for one in gc.get_objects() if isinstance(one, TaskInterface)}
    print("started", json.dumps({"id": executor.start_workflow(request), "classes": made}), flush=True)


if __name__ == "__main__":
    main()
