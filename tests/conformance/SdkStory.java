// The official Java SDK at work, as its users write it: `java -cp CLASSES SdkStory.java URL`.
// What each call gave is one JSON object on the last line of its output; the test beside it judges, this file does not.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.netflix.conductor.client.automator.TaskRunnerConfigurer;
import com.netflix.conductor.client.http.ConductorClient;
import com.netflix.conductor.client.http.MetadataClient;
import com.netflix.conductor.client.http.TaskClient;
import com.netflix.conductor.client.http.WorkflowClient;
import com.netflix.conductor.client.worker.Worker;
import com.netflix.conductor.common.metadata.tasks.Task;
import com.netflix.conductor.common.metadata.tasks.TaskDef;
import com.netflix.conductor.common.metadata.tasks.TaskResult;
import com.netflix.conductor.common.metadata.workflow.StartWorkflowRequest;
import com.netflix.conductor.common.metadata.workflow.WorkflowDef;
import com.netflix.conductor.common.metadata.workflow.WorkflowTask;
import com.netflix.conductor.common.run.Workflow;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public class SdkStory {
    static WorkflowTask step(String type, String name, String ref, Map<String, Object> input) {
        WorkflowTask task = new WorkflowTask();
        task.setType(type);
        task.setName(name);
        task.setTaskReferenceName(ref);
        task.setInputParameters(input);
        return task;
    }

    static TaskResult completed(Task task, Map<String, Object> output) {
        TaskResult result = new TaskResult(task);
        result.setStatus(TaskResult.Status.COMPLETED);
        result.setOutputData(output);
        return result;
    }

    static Map<String, Object> seen(Workflow workflow) {
        List<Object> tasks = new ArrayList<>();
        workflow.getTasks().forEach(task ->
            tasks.add(List.of(task.getReferenceTaskName(), task.getStatus().name(), task.getOutputData())));
        return Map.of("status", workflow.getStatus().name(), "output", workflow.getOutput(), "tasks", tasks);
    }

    static Workflow ended(WorkflowClient workflows, String id) throws InterruptedException {
        long end = System.currentTimeMillis() + 20_000;
        Workflow found = workflows.getWorkflow(id, true);
        while (!found.getStatus().isTerminal() && System.currentTimeMillis() < end) {
            Thread.sleep(50);
            found = workflows.getWorkflow(id, true);
        }
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        ConductorClient client = new ConductorClient(arguments[0]);
        MetadataClient metadata = new MetadataClient(client);
        WorkflowClient workflows = new WorkflowClient(client);
        TaskClient tasks = new TaskClient(client);
        Map<String, Object> given = new LinkedHashMap<>();

        TaskDef greet = new TaskDef("greet");
        greet.setOwnerEmail("ada@example.com");
        greet.setRetryCount(1);
        greet.setRetryDelaySeconds(0);
        TaskDef flaky = new TaskDef("flaky");
        flaky.setOwnerEmail("ada@example.com");
        flaky.setRetryCount(1);
        flaky.setRetryDelaySeconds(0);
        metadata.registerTaskDefs(List.of(greet, flaky));
        given.put("taskDef", metadata.getTaskDef("greet").getRetryCount());

        WorkflowDef def = new WorkflowDef();
        def.setName("story");
        def.setVersion(1);
        def.setOwnerEmail("ada@example.com");
        def.setTasks(List.of(
            step("SIMPLE", "greet", "greet", Map.of("name", "${workflow.input.name}")),
            step("SIMPLE", "flaky", "flaky", Map.of()),
            step("WAIT", "word", "word", Map.of())));
        def.setOutputParameters(Map.of("said", "${greet.output.result}"));
        metadata.registerWorkflowDef(def);
        given.put("tasksOfDef", metadata.getWorkflowDef("story", 1).getTasks().size());

        List<Worker> workers = List.of(
            Worker.create("greet", task -> completed(task, Map.of("result", "Hello, " + task.getInputData().get("name")))),
            Worker.create("flaky", task -> {
                if (task.getRetryCount() == 0) {
                    throw new IllegalStateException("not at the first attempt");
                }
                return completed(task, Map.of("attempt", task.getRetryCount()));
            }));
        TaskRunnerConfigurer runner = new TaskRunnerConfigurer.Builder(tasks, workers).withThreadCount(2).build();
        runner.init();

        StartWorkflowRequest request = new StartWorkflowRequest();
        request.setName("story");
        request.setVersion(1);
        request.setCorrelationId("c1");
        request.setInput(Map.of("name", "Ada"));
        String id = workflows.startWorkflow(request);
        given.put("id", id);
        long end = System.currentTimeMillis() + 20_000;
        while (workflows.getWorkflow(id, true).getTasks().size() < 4 && System.currentTimeMillis() < end) {
            Thread.sleep(50);
        }
        workflows.pauseWorkflow(id);
        given.put("paused", workflows.getWorkflow(id, false).getStatus().name());
        workflows.resumeWorkflow(id);
        given.put("running", workflows.getRunningWorkflow("story", 1));
        given.put("correlated", workflows.getWorkflows("story", "c1", true, true).size());
        String word = workflows.getWorkflow(id, true).getTasks().get(3).getTaskId();
        tasks.logMessageForTask(word, "a line");
        given.put("log", tasks.getTaskLogs(word).get(0).getLog());
        given.put("task", tasks.getTaskDetails(word).getStatus().name());
        tasks.updateTask(completed(tasks.getTaskDetails(word), Map.of("word", "go")));
        given.put("ended", seen(ended(workflows, id)));
        workflows.restart(id, false);
        workflows.terminateWorkflow(id, "enough");
        given.put("terminated", workflows.getWorkflow(id, false).getReasonForIncompletion());
        // The task leaves its queue a moment after the termination is answered.
        end = System.currentTimeMillis() + 10_000;
        while (tasks.getQueueSizeForTask("greet") > 0 && System.currentTimeMillis() < end) {
            Thread.sleep(50);
        }
        given.put("queue", tasks.getQueueSizeForTask("greet"));
        runner.shutdown();
        workflows.deleteWorkflow(id, false);
        metadata.unregisterWorkflowDef("story", 1);
        metadata.unregisterTaskDef("greet");

        System.out.println();
        System.out.println(new ObjectMapper().writeValueAsString(given));
        System.exit(0);
    }
}
