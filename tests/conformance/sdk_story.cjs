// The official JavaScript SDK at work, as its users write it: every call of its clients that has a meaning here.
// `node sdk_story.cjs URL STORY` tells one story; what each call gave is one JSON object on the last line of its output.
// NODE_PATH names the folder that has the SDK. The test beside it judges what was given, this file judges nothing.
"use strict";

const sdk = require("@io-orkes/conductor-javascript");

const [, , serverUrl, chosen] = process.argv;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(ask, isEnough, ms = 20000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await ask();
    if (isEnough(found) || Date.now() > end) return found;
    await later(50);
  }
}

const ended = (executor, id) => until(() => executor.getWorkflow(id, true), (one) => one.status !== "RUNNING");

async function refusal(call) {
  try {
    await call();
    return "none";
  } catch (error) {
    return String(error.message);
  }
}

function simple(name, ref, inputParameters = {}) {
  return { name, taskReferenceName: ref, type: "SIMPLE", inputParameters };
}

const stories = {
  // A TaskManager with plain workers: results, failures and retries, what may not be retried, progress, logs, domains.
  async manager(clients) {
    const metadata = clients.getMetadataClient();
    const executor = clients.getWorkflowClient();
    const names = ["greet", "flaky", "hopeless", "stepwise", "greet_eu", "count_up"];
    await metadata.registerTasks(names.map((name) => sdk.taskDefinition({ name, retryCount: 1, retryDelaySeconds: 0 })));
    const counts = [simple("count_up", "c1", { number: 0 })];
    for (let n = 2; n <= 20; n += 1) counts.push(simple("count_up", `c${n}`, { number: `\${c${n - 1}.output.number}` }));
    const plans = {
      greeting: [simple("greet", "greet", { name: "${workflow.input.name}" })],
      flaking: [simple("flaky", "flaky")],
      despair: [simple("hopeless", "hopeless")],
      progress: [simple("stepwise", "stepwise")],
      abroad: [simple("greet_eu", "greet_eu", { name: "Ada" })],
      counting: counts,
    };
    for (const [name, tasks] of Object.entries(plans)) {
      const def = { name, version: 1, tasks, inputParameters: [], timeoutSeconds: 0, schemaVersion: 2 };
      await executor.registerWorkflow(true, def);
    }
    const workers = [
      {
        taskDefName: "greet",
        execute: async ({ inputData }) => ({ status: "COMPLETED", outputData: { result: `Hello, ${inputData.name}` } }),
      },
      {
        taskDefName: "greet_eu",
        domain: "eu",
        execute: async () => ({ status: "COMPLETED", outputData: { result: "Hello from the EU" } }),
      },
      {
        taskDefName: "flaky",
        execute: async ({ retryCount }) => {
          if (!retryCount) throw new Error("not at the first attempt");
          return { status: "COMPLETED", outputData: { attempt: retryCount } };
        },
      },
      {
        taskDefName: "hopeless",
        execute: async () => {
          throw new sdk.NonRetryableException("never");
        },
      },
      {
        taskDefName: "stepwise",
        execute: async ({ pollCount }) => {
          sdk.getTaskContext().addLog(`poll ${pollCount}`);
          if (pollCount < 3) return { status: "IN_PROGRESS", callbackAfterSeconds: 1, outputData: { step: pollCount } };
          return { status: "COMPLETED", outputData: { polls: pollCount } };
        },
      },
      {
        taskDefName: "count_up",
        concurrency: 1,
        execute: async ({ inputData }) => ({ status: "COMPLETED", outputData: { number: inputData.number + 1 } }),
      },
    ];
    const manager = new sdk.TaskManager(clients.getClient(), workers, { options: { pollInterval: 20, concurrency: 2 } });
    manager.startPolling();
    const given = {};
    for (const name of Object.keys(plans)) {
      const taskToDomain = name === "abroad" ? { greet_eu: "eu" } : {};
      const id = await executor.startWorkflow({ name, version: 1, input: { name: "Ada" }, taskToDomain });
      given[name] = await ended(executor, id);
    }
    given.logs = await clients.getTaskClient().getTaskLogs(given.progress.tasks[0].taskId);
    given.polls = await until(() => clients.getTaskClient().getTaskPollData("greet_eu"), (polls) => polls.length);
    await manager.stopPolling();
    return given;
  },

  // The quick start: a workflow made by the builder, a decorated worker behind a TaskHandler, executed and waited for.
  async handler(clients) {
    const executor = clients.getWorkflowClient();
    const greetings = new sdk.ConductorWorkflow(executor, "greetings")
      .add(sdk.simpleTask("greet_ref", "greet_kindly", { name: "${workflow.input.name}" }))
      .outputParameters({ result: "${greet_ref.output.result}" });
    await greetings.register();
    class Workers {
      async greet(task) {
        return { status: "COMPLETED", outputData: { result: `Hello ${task.inputData.name}` } };
      }
    }
    // The handler registers with PUT, which Conductor has for definitions that exist.
    await clients.getMetadataClient().registerTask(sdk.taskDefinition({ name: "greet_kindly", timeoutSeconds: 7200 }));
    const worker = { taskDefName: "greet_kindly", pollInterval: 20, registerTaskDef: true };
    sdk.worker(worker)(Workers.prototype, "greet", Object.getOwnPropertyDescriptor(Workers.prototype, "greet"));
    const handler = new sdk.TaskHandler({ client: clients.getClient(), scanForDecorated: true });
    await handler.startWorkers();
    const run = await greetings.execute({ name: "Conductor" });
    const status = handler.getWorkerStatus().map(({ taskDefName, polling }) => ({ taskDefName, polling }));
    await handler.stopWorkers();
    return { run, status, taskDef: await clients.getMetadataClient().getTask("greet_kindly") };
  },

  // The builders of steps, in one workflow that runs through all of them.
  async kitchen(clients) {
    const executor = clients.getWorkflowClient();
    const child = new sdk.ConductorWorkflow(executor, "child")
      .add(sdk.setVariableTask("keep", { kept: "${workflow.input.value}" }))
      .outputParameters({ doubled: "${workflow.variables.kept}" });
    await child.register(true);
    const kitchen = new sdk.ConductorWorkflow(executor, "kitchen", 3, "everything at once")
      .add(sdk.inlineTask("sum", "(function () { return $.a + $.b; })()", "javascript"))
      .add(sdk.jsonJqTask("jq", ".values | map(. * 2)"))
      .add(
        sdk.switchTask("route", "${workflow.input.tier}", {
          gold: [sdk.setVariableTask("set_gold", { tier: "gold" })],
          tin: [sdk.setVariableTask("set_tin", { tier: "tin" })],
        })
      )
      .add(sdk.doWhileTask("loop", "if ($.loop['iteration'] < 3) { true; } else { false; }", [sdk.waitTaskDuration("nap", "1 second")]))
      .fork([[sdk.waitTaskDuration("left", "1 second")], [sdk.subWorkflowTask("inner", "child", 1)]])
      .add(sdk.eventTask("tell", "conductor", "said"))
      .add(sdk.waitTaskUntil("past", "2020-01-01 00:00"))
      .add(sdk.startWorkflowTask("sideways", "child", { value: 5 }, 1))
      .add(sdk.terminateTask("over", "COMPLETED", "all done"))
      .outputParameters({ tier: "${workflow.variables.tier}" })
      .timeoutPolicy("ALERT_ONLY");
    const def = kitchen.toWorkflowDef();
    def.tasks[0].inputParameters = { ...def.tasks[0].inputParameters, a: 2, b: 3 };
    def.tasks[1].inputParameters = { ...def.tasks[1].inputParameters, values: [1, 2] };
    await executor.registerWorkflow(true, def);
    const id = await kitchen.startWorkflow({ tier: "gold", value: 4 }, "c-kitchen", 7);
    return { run: await ended(executor, id), def: await clients.getMetadataClient().getWorkflowDef("kitchen", 3) };
  },

  async metadata(clients) {
    const metadata = clients.getMetadataClient();
    const given = {};
    await metadata.registerTask(sdk.taskDefinition({ name: "t1", retryCount: 2, description: "first" }));
    given.task = await metadata.getTask("t1");
    await metadata.updateTask({ ...given.task, description: "second" });
    given.changed = await metadata.getTask("t1");
    given.all = (await metadata.getAllTaskDefs()).map((one) => one.name);
    await metadata.addTaskTag({ key: "team", value: "a", type: "METADATA" }, "t1");
    await metadata.setTaskTags([{ key: "team", value: "b", type: "METADATA" }], "t1");
    given.taskTags = await metadata.getTaskTags("t1");
    await metadata.deleteTaskTag(given.taskTags[0], "t1");
    given.noTaskTags = await metadata.getTaskTags("t1");
    const def = { name: "w1", version: 2, tasks: [simple("t1", "t1")], timeoutSeconds: 0 };
    await metadata.registerWorkflowDef(def);
    given.conflict = await refusal(() => metadata.registerWorkflowDef({ ...def, description: "other" }));
    await metadata.registerWorkflowDef({ ...def, description: "other" }, true);
    given.workflow = await metadata.getWorkflowDef("w1", 2);
    given.workflows = (await metadata.getAllWorkflowDefs()).map((one) => [one.name, one.version]);
    await metadata.addWorkflowTag({ key: "k", value: "v", type: "METADATA" }, "w1");
    given.tags = await metadata.getWorkflowTags("w1");
    await metadata.setWorkflowTags([{ key: "k", value: "v2", type: "METADATA" }], "w1");
    given.setTags = await metadata.getWorkflowTags("w1");
    await metadata.deleteWorkflowTag(given.setTags[0], "w1");
    given.noTags = await metadata.getWorkflowTags("w1");
    await metadata.setWorkflowRateLimit({ rateLimitKey: "k", concurrentExecLimit: 3 }, "w1");
    given.limit = await metadata.getWorkflowRateLimit("w1");
    await metadata.removeWorkflowRateLimit("w1");
    given.noLimit = (await metadata.getWorkflowRateLimit("w1")) ?? null;
    await metadata.unregisterWorkflow("w1", 2);
    given.goneWorkflow = await refusal(() => metadata.getWorkflowDef("w1", 2));
    await metadata.unregisterTask("t1");
    given.goneTask = await refusal(() => metadata.getTask("t1"));
    return given;
  },

  async executions(clients) {
    const executor = clients.getWorkflowClient();
    const tasks = clients.getTaskClient();
    const given = {};
    const wait = (ref) => ({ name: ref, taskReferenceName: ref, type: "WAIT", inputParameters: {} });
    const def = { name: "waits", version: 1, tasks: [wait("w1"), wait("w2"), wait("w3"), simple("by_hand", "hand")], timeoutSeconds: 0 };
    await executor.registerWorkflow(true, def);
    const id = await executor.startWorkflow({ name: "waits", version: 1, correlationId: "c1", input: { a: 1 } });
    given.id = id;
    given.status = await executor.getWorkflowStatus(id, true, true);
    await executor.pause(id);
    given.paused = (await executor.getExecution(id)).status;
    await executor.resume(id);
    given.variables = (await executor.updateVariables(id, { x: 1 })).variables;
    given.sync = await executor.updateTaskSync("w1", id, "COMPLETED", { said: 1 }, "w");
    given.signalled = await executor.signal(id, "COMPLETED", { said: 2 }, "TARGET_WORKFLOW");
    given.isTarget = given.signalled.isTargetWorkflow();
    await executor.updateTaskByRefName("w3", id, "COMPLETED", {});
    const hand = (await executor.getWorkflow(id, true)).tasks.at(-1);
    await tasks.addTaskLog(hand.taskId, "a line");
    given.logs = await tasks.getTaskLogs(hand.taskId);
    given.task = await tasks.getTask(hand.taskId);
    given.sizes = await tasks.getQueueSizeForTask(["by_hand"]);
    given.updated = await executor.updateTask(hand.taskId, id, "COMPLETED", { done: true });
    given.end = await ended(executor, id);
    given.hand = hand.taskId;
    given.found = await until(() => executor.search(0, 10, "workflowType = 'waits'", "*", "startTime:DESC"), (one) => one.results.length);
    given.tasksFound = await tasks.search(0, 10, undefined, "*", `workflowId = '${id}'`);
    given.correlated = await executor.getByCorrelationIds({ workflowNames: ["waits"], correlationIds: ["c1"] }, true, true);
    await executor.restart(id, true);
    given.restarted = (await executor.getWorkflow(id, true)).status;
    given.byRef = await executor.updateTaskByRefName("w1", id, "COMPLETED", { again: 1 });
    await executor.signalAsync(id, "FAILED", {});
    given.failed = (await ended(executor, id)).status;
    await executor.retry(id, false);
    given.retried = (await executor.getWorkflow(id, true)).status;
    await executor.terminate(id, "enough");
    given.terminated = await ended(executor, id);
    await executor.goBackToFirstTaskMatchingType(id, "WAIT");
    given.back = await executor.getWorkflow(id, true);
    await executor.terminate(id, "again");
    given.rerun = await executor.reRun(id, { workflowInput: { a: 2 } });
    given.rerunInput = (await executor.getWorkflow(id, false)).input;
    await executor.skipTasksFromWorkflow(id, "w2", { taskOutput: { skipped: true } });
    await executor.updateTaskByRefName("w1", id, "COMPLETED", {});
    given.skipped = (await until(() => executor.getWorkflow(id, true), (one) => one.tasks.length === 3)).tasks[1];
    given.state = await executor.updateState(
      id,
      { taskReferenceName: "w3", variables: { y: 2 }, taskResult: { workflowInstanceId: id, taskId: "", status: "COMPLETED", outputData: { z: 3 } } },
      "request-1",
      "w3",
      5
    );
    await executor.terminate(id, "over");
    given.deleted = (await executor.deleteWorkflow(id)) ?? null;
    given.gone = await refusal(() => executor.getWorkflow(id, false));
    const request = { name: "waits", version: 1, input: { a: 3 } };
    given.execution = await executor.executeWorkflow(request, "waits", 1, "request-2", "w1", 1, "DURABLE", "BLOCKING_TASK");
    given.isTask = given.execution.isBlockingTask();
    const many = await Promise.all(executor.startWorkflows([request, request]));
    given.many = new Set(many).size;
    const named = await executor.startWorkflowByName("waits", { a: 4 }, 1, "c9", 5);
    given.named = await executor.getWorkflow(named, false);
    given.tested = await executor.testWorkflow({
      name: "mocked",
      version: 1,
      workflowDef: { name: "mocked", version: 1, tasks: [simple("any", "any")] },
      taskRefToMockOutput: { any: [{ status: "COMPLETED", output: { mocked: true } }] },
    });
    return given;
  },

  async schedules(clients) {
    const scheduler = clients.getSchedulerClient();
    const executor = clients.getWorkflowClient();
    const given = {};
    await executor.registerWorkflow(true, { name: "ticks", version: 1, tasks: [sdk.setVariableTask("v", { a: 1 })], timeoutSeconds: 0 });
    const startWorkflowRequest = { name: "ticks", version: 1, input: {} };
    await scheduler.saveSchedule({ name: "each", cronExpression: "* * * * * ?", startWorkflowRequest });
    given.schedule = await scheduler.getSchedule("each");
    given.fired = await until(() => scheduler.search(0, 10, "", "*", "scheduleName = 'each'"), (one) => one.results.length);
    await scheduler.pauseSchedule("each", "enough");
    given.paused = await scheduler.getSchedule("each");
    await scheduler.resumeSchedule("each");
    given.resumed = (await scheduler.getSchedule("each")).paused ?? false;
    given.all = (await scheduler.getAllSchedules("ticks")).map((one) => one.name);
    given.next = await scheduler.getNextFewSchedules("0 0 12 * * ?", 1700000000000, undefined, 2);
    await scheduler.setSchedulerTags([{ key: "k", value: "v" }], "each");
    given.tags = await scheduler.getSchedulerTags("each");
    await scheduler.deleteSchedulerTags(given.tags, "each");
    given.noTags = await scheduler.getSchedulerTags("each");
    await scheduler.pauseAllSchedules();
    await scheduler.resumeAllSchedules();
    await scheduler.requeueAllExecutionRecords();
    await scheduler.deleteSchedule("each");
    given.gone = await refusal(() => scheduler.getSchedule("each"));
    return given;
  },

  async rest(clients) {
    const events = clients.getEventClient();
    const schemas = clients.getSchemaClient();
    const given = {};
    const handler = { name: "h", event: "conductor:said", active: true, actions: [{ action: "start_workflow", start_workflow: { name: "none" } }] };
    await events.addEventHandler(handler);
    given.handler = await events.getEventHandlerByName("h");
    await events.updateEventHandler({ ...handler, active: false });
    given.handlers = await events.getAllEventHandlers();
    given.ofEvent = await events.getEventHandlersForEvent("conductor:said", false);
    given.activeOfEvent = await events.getEventHandlersForEvent("conductor:said", true);
    await events.putTagForEventHandler("h", [{ key: "k", value: "v", type: "METADATA" }]);
    given.eventTags = await events.getTagsForEventHandler("h");
    await events.deleteTagsForEventHandler("h", given.eventTags);
    await events.removeEventHandler("h");
    given.noHandlers = await events.getAllEventHandlers();
    await schemas.registerSchema([{ name: "s", version: 1, type: "JSON", data: { type: "object" } }]);
    given.schema = await schemas.getSchema("s", 1);
    given.latest = await schemas.getSchemaByName("s");
    given.schemas = (await schemas.getAllSchemas()).map((one) => one.name);
    await schemas.deleteSchema("s", 1);
    await schemas.registerSchema([{ name: "s2", version: 1, type: "JSON", data: { type: "object" } }]);
    await schemas.deleteSchemaByName("s2");
    given.noSchemas = await schemas.getAllSchemas();
    return given;
  },

  async secrets(clients) {
    const secrets = clients.getSecretClient();
    const given = {};
    await secrets.putSecret("key", "it's a \"secret\"");
    given.value = await secrets.getSecret("key");
    given.exists = [await secrets.secretExists("key"), await secrets.secretExists("other")];
    given.names = await secrets.listAllSecretNames();
    given.grantable = await secrets.listSecretsThatUserCanGrantAccessTo();
    await secrets.setSecretTags([{ key: "k", value: "v" }], "key");
    given.tags = await secrets.getSecretTags("key");
    await secrets.deleteSecretTags(given.tags, "key");
    given.noTags = await secrets.getSecretTags("key");
    await secrets.deleteSecret("key");
    given.gone = await refusal(() => secrets.getSecret("key"));
    return given;
  },
};

async function main() {
  const clients = await sdk.OrkesClients.from({ serverUrl });
  process.stdout.write(`\n${JSON.stringify(await stories[chosen](clients))}\n`, () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
