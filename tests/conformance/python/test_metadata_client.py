"""What the SDK's ``MetadataClient``, ``SchemaClient`` and ``SecretClient`` store, and how it comes back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.python.hand import Model, Raised, Sdk, models

pytestmark = [pytest.mark.slow, pytest.mark.alone]

STEP = models.WorkflowTask(name="step", task_reference_name="step", type="SIMPLE", input_parameters={"a": 1})


def refused(status: int) -> Any:
    return pytest.raises(Raised, check=lambda error: (error.kind, error.status) == ("ApiException", status))


def tags_of(found: list[Model]) -> list[tuple[str, str, Any]]:
    return sorted((tag.key, tag.type, tag.value) for tag in found)


# --- workflows --------------------------------------------------------------------------------------------------------


def test_a_workflow_definition_comes_back_as_it_was_given(sdk: Sdk) -> None:
    definition = models.WorkflowDef(
        name="kept",
        version=1,
        description="is kept",
        tasks=[STEP],
        input_parameters=["order"],
        output_parameters={"out": "${step.output.x}"},
        failure_workflow="kept_cleanup",
        timeout_policy="TIME_OUT_WF",
        timeout_seconds=60,
        owner_email="a@b.example",
        variables={"v": 1},
        input_template={"t": 2},
        restartable=False,
        enforce_schema=False,
        metadata={"team": "blue"},
        rate_limit_config=models.RateLimitConfig(rate_limit_key="${workflow.input.k}", concurrent_exec_limit=2),
    )
    sdk.metadata.register_workflow_def(definition, False)
    found = sdk.metadata.get_workflow_def("kept", 1)
    assert (found.name, found.version, found.description, found.owner_email) == ("kept", 1, "is kept", "a@b.example")
    assert (found.input_parameters, found.output_parameters) == (["order"], {"out": "${step.output.x}"})
    assert (found.failure_workflow, found.restartable) == ("kept_cleanup", False)
    assert (found.timeout_policy, found.timeout_seconds) == ("TIME_OUT_WF", 60)
    assert (found.variables, found.input_template, found.metadata) == ({"v": 1}, {"t": 2}, {"team": "blue"})
    assert (found.schema_version, found.enforce_schema) == (2, False)
    assert (found.rate_limit_config.rate_limit_key, found.rate_limit_config.concurrent_exec_limit) == (
        "${workflow.input.k}",
        2,
    )
    (task,) = found.tasks
    assert (task.name, task.task_reference_name, task.type, task.input_parameters) == (
        "step",
        "step",
        "SIMPLE",
        {"a": 1},
    )
    assert found.create_time > 0


def test_versions_are_registered_updated_found_and_unregistered(sdk: Sdk) -> None:
    for version in (1, 2):
        sdk.metadata.register_workflow_def(models.WorkflowDef(name="versioned", version=version, tasks=[STEP]), False)
    with refused(409):
        other = models.WorkflowDef(name="versioned", version=2, tasks=[STEP], description="other")
        sdk.metadata.register_workflow_def(other, False)
    sdk.metadata.update_workflow_def(
        models.WorkflowDef(name="versioned", version=1, tasks=[STEP], description="updated"), True
    )
    assert sdk.metadata.get_workflow_def("versioned").version == 2
    assert sdk.metadata.get_workflow_def("versioned", 1).description == "updated"
    every = sdk.metadata.get_all_workflow_defs()
    assert sorted(one.version for one in every if one.name == "versioned") == [1, 2]
    sdk.metadata.unregister_workflow_def("versioned", 2)
    assert sdk.metadata.get_workflow_def("versioned").version == 1
    with refused(404):
        sdk.metadata.unregister_workflow_def("versioned", 2)
    with refused(404):
        sdk.metadata.get_workflow_def("versioned", 2)


def test_a_definition_that_breaks_rules_is_refused_with_the_places(sdk: Sdk) -> None:
    twice = models.WorkflowDef(name="broken", version=1, tasks=[STEP, STEP])
    with pytest.raises(Raised, match="validationErrors") as error:
        sdk.metadata.register_workflow_def(twice, True)
    assert error.value.status == 400


def test_tags_are_hung_on_a_workflow(sdk: Sdk) -> None:
    sdk.metadata.register_workflow_def(models.WorkflowDef(name="tagged", version=1, tasks=[STEP]), True)
    owner, team = models.MetadataTag(key="owner", value="ada"), models.MetadataTag(key="team", value="blue")
    sdk.metadata.add_workflow_tag(owner, "tagged")
    assert tags_of(sdk.metadata.get_workflow_tags("tagged")) == [("owner", "METADATA", "ada")]
    sdk.metadata.set_workflow_tags([team], "tagged")
    assert tags_of(sdk.metadata.get_workflow_tags("tagged")) == [("team", "METADATA", "blue")]
    sdk.metadata.delete_workflow_tag(team, "tagged")
    assert sdk.metadata.get_workflow_tags("tagged") == []


def test_a_tag_limits_how_many_executions_run_at_once(sdk: Sdk) -> None:
    sdk.metadata.register_workflow_def(models.WorkflowDef(name="limited", version=1, tasks=[STEP]), True)
    assert sdk.metadata.getWorkflowRateLimit("limited") is None
    sdk.metadata.setWorkflowRateLimit(5, "limited")
    assert sdk.metadata.getWorkflowRateLimit("limited") == 5
    sdk.metadata.setWorkflowRateLimit(7, "limited")
    assert sdk.metadata.getWorkflowRateLimit("limited") == 7
    sdk.metadata.removeWorkflowRateLimit("limited")
    assert sdk.metadata.getWorkflowRateLimit("limited") is None


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_task_definition_comes_back_as_it_was_given(sdk: Sdk) -> None:
    given = {
        "name": "kept_task",
        "description": "is kept",
        "retry_count": 5,
        "retry_logic": "EXPONENTIAL_BACKOFF",
        "retry_delay_seconds": 2,
        "backoff_scale_factor": 3,
        "timeout_seconds": 100,
        "timeout_policy": "RETRY",
        "response_timeout_seconds": 50,
        "poll_timeout_seconds": 20,
        "concurrent_exec_limit": 4,
        "rate_limit_per_frequency": 10,
        "rate_limit_frequency_in_seconds": 5,
        "input_keys": ["a"],
        "output_keys": ["b"],
        "input_template": {"t": 1},
        "owner_email": "a@b.example",
        "total_timeout_seconds": 500,
    }
    sdk.metadata.register_task_def(models.TaskDef(**given))
    found = sdk.metadata.get_task_def("kept_task")
    assert {name: getattr(found, name) for name in given} == given


def test_task_definitions_are_updated_listed_and_unregistered(sdk: Sdk) -> None:
    with refused(404):
        sdk.metadata.update_task_def(models.TaskDef(name="changing_task", retry_count=1))
    sdk.metadata.register_task_def(models.TaskDef(name="changing_task", retry_count=1))
    sdk.metadata.update_task_def(models.TaskDef(name="changing_task", retry_count=2))
    listed = {one.name: one for one in sdk.metadata.get_all_task_defs()}
    assert listed["changing_task"].retry_count == 2
    sdk.metadata.unregister_task_def("changing_task")
    with refused(404):
        sdk.metadata.get_task_def("changing_task")


def test_tags_are_hung_on_a_task(sdk: Sdk) -> None:
    sdk.metadata.register_task_def(models.TaskDef(name="tagged_task"))
    owner, team = models.MetadataTag(key="owner", value="ada"), models.MetadataTag(key="team", value="blue")
    sdk.metadata.addTaskTag(owner, "tagged_task")
    assert tags_of(sdk.metadata.getTaskTags("tagged_task")) == [("owner", "METADATA", "ada")]
    sdk.metadata.setTaskTags([owner, team], "tagged_task")
    sdk.metadata.deleteTaskTag(owner, "tagged_task")
    assert tags_of(sdk.metadata.getTaskTags("tagged_task")) == [("team", "METADATA", "blue")]


# --- schemas ----------------------------------------------------------------------------------------------------------


def test_schemas_are_kept_by_name_and_version(sdk: Sdk) -> None:
    data = {"type": "object", "required": ["order"]}
    for version in (1, 2):
        sdk.schema.register_schema(models.SchemaDef(name="order", version=version, type="JSON", data=data))
    found = sdk.schema.get_schema("order", 1)
    assert (found.name, found.version, found.type, found.data) == ("order", 1, "JSON", data)
    sdk.schema.register_schema(models.SchemaDef(name="other", version=1, type="JSON", data={"type": "string"}))
    assert [(one.name, one.version) for one in sdk.schema.get_all_schemas()] == [("order", 2), ("other", 1)]
    sdk.schema.delete_schema("order", 1)
    with refused(404):
        sdk.schema.get_schema("order", 1)
    assert sdk.schema.get_schema("order", 2).version == 2
    sdk.schema.delete_schema_by_name("order")
    assert [one.name for one in sdk.schema.get_all_schemas()] == ["other"]


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["plain", 'a "quoted" one', "two\nlines", "ünïcode"])
def test_a_secret_comes_back_as_it_was_given(sdk: Sdk, value: str) -> None:
    sdk.secret.put_secret("KEPT", value)
    assert sdk.secret.get_secret("KEPT") == value


def test_secrets_are_listed_tagged_and_deleted(sdk: Sdk) -> None:
    assert sdk.secret.secret_exists("DB_PASSWORD") is False
    sdk.secret.put_secret("DB_PASSWORD", "s3cret")
    assert sdk.secret.secret_exists("DB_PASSWORD") is True
    assert "DB_PASSWORD" in sdk.secret.list_all_secret_names()
    assert "DB_PASSWORD" in sdk.secret.list_secrets_that_user_can_grant_access_to()
    tag = models.MetadataTag(key="team", value="blue")
    sdk.secret.set_secret_tags([tag], "DB_PASSWORD")
    assert tags_of(sdk.secret.get_secret_tags("DB_PASSWORD")) == [("team", "METADATA", "blue")]
    sdk.secret.delete_secret_tags([tag], "DB_PASSWORD")
    assert sdk.secret.get_secret_tags("DB_PASSWORD") == []
    sdk.secret.delete_secret("DB_PASSWORD")
    assert sdk.secret.secret_exists("DB_PASSWORD") is False
    with refused(404):
        sdk.secret.get_secret("DB_PASSWORD")
