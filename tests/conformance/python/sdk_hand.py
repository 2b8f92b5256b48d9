# mypy: disable-error-code="import-not-found"
"""The hand that calls the official Python SDK for the tests. Runs in the SDK's environment, which has no package of ours.

``python sdk_hand.py URL`` reads one JSON request a line and answers each with one line: what a method of one of the
clients gave, attribute by attribute, or what it raised. A model among the arguments is ``{"$model": name, "given": {}}``.
It changes and catches nothing in the SDK, so what a test sees is what a user of the SDK sees.
"""

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from conductor.client import http
from conductor.client.configuration.configuration import Configuration
from conductor.client.event.event_client import EventClient
from conductor.client.event.queue.kafka_queue_configuration import (
    KafkaConsumerConfiguration,
    KafkaProducerConfiguration,
    KafkaQueueConfiguration,
)
from conductor.client.http import models
from conductor.client.http.api.workflow_resource_api import WorkflowResourceApi
from conductor.client.http.api_client import ApiClient
from conductor.client.metadata_client import MetadataClient
from conductor.client.orkes.models.metadata_tag import MetadataTag
from conductor.client.orkes_clients import OrkesClients
from conductor.client.scheduler_client import SchedulerClient
from conductor.client.schema_client import SchemaClient
from conductor.client.secret_client import SecretClient
from conductor.client.task_client import TaskClient
from conductor.client.workflow import task as task_classes
from conductor.client.workflow.executor.workflow_executor import WorkflowExecutor
from conductor.client.workflow.task.task import TaskInterface
from conductor.client.workflow_client import WorkflowClient

INTERFACES = {
    "workflow": WorkflowClient,
    "task": TaskClient,
    "metadata": MetadataClient,
    "scheduler": SchedulerClient,
    "secret": SecretClient,
    "schema": SchemaClient,
    "executor": WorkflowExecutor,
    "event": EventClient,
}


def clients_of(url: str) -> dict[str, Any]:
    """The clients by the names that the tests have for them; the last is what lies under the first."""
    configuration = Configuration(server_api_url=url)
    clients = OrkesClients(configuration)
    return {
        "workflow": clients.get_workflow_client(),
        "task": clients.get_task_client(),
        "metadata": clients.get_metadata_client(),
        "scheduler": clients.get_scheduler_client(),
        "secret": clients.get_secret_client(),
        "schema": clients.get_schema_client(),
        "executor": clients.get_workflow_executor(),
        "event": EventClient(ApiClient(configuration)),
        "workflow_api": WorkflowResourceApi(ApiClient(configuration)),
    }


# --- what there is ----------------------------------------------------------------------------------------------------


def methods(clients: dict[str, Any]) -> dict[str, list[str]]:
    """The public methods of each client, those of its interface and those that only the implementation has."""
    return {
        name: sorted({*_public(interface), *_public(type(clients[name]))}) for name, interface in INTERFACES.items()
    }


def _public(kind: type) -> Iterator[str]:
    return (name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_"))


def task_class_names() -> list[str]:
    """Every class of tasks that the SDK has in its package of tasks, but for the folder of those for language models."""
    found = set()
    for module in pkgutil.iter_modules(task_classes.__path__):
        if not module.ispkg:
            members = vars(importlib.import_module(f"{task_classes.__name__}.{module.name}")).values()
            found |= {one.__name__ for one in members if inspect.isclass(one) and issubclass(one, TaskInterface)}
    return sorted(found)


# --- to the SDK -------------------------------------------------------------------------------------------------------


def given(value: Any) -> Any:
    """An argument as the SDK wants it."""
    if isinstance(value, list):
        return [given(one) for one in value]
    if not isinstance(value, dict):
        return value
    fields = {name: given(one) for name, one in value.get("given", value).items()}
    return _model(value["$model"])(**fields) if "$model" in value else fields


def _model(name: str) -> Callable[..., Any]:
    if name == "KafkaQueueConfiguration":
        return _kafka_queue
    if name == "MetadataTag":
        return MetadataTag  # type: ignore[no-any-return]
    if name.startswith("Schedule"):  # Schedule and ScheduleInfo
        return getattr(importlib.import_module("conductor.client.ai.schedule"), name)  # type: ignore[no-any-return]
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    if hasattr(models, name):
        return getattr(models, name)  # type: ignore[no-any-return]
    return getattr(importlib.import_module(f"{http.__name__}.models.{snake}"), name)  # type: ignore[no-any-return]


def _kafka_queue(topic: str, servers: str) -> Any:
    queue = KafkaQueueConfiguration(topic)
    queue.add_consumer(KafkaConsumerConfiguration(servers))
    queue.add_producer(KafkaProducerConfiguration(servers))
    return queue


# --- from the SDK -----------------------------------------------------------------------------------------------------


def told(value: Any) -> Any:
    """What the SDK gave, as JSON: a model with the attributes that a user reads, and the name of its class."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(one) for one in value]
    if isinstance(value, set):
        return sorted(value)
    names = getattr(value, "swagger_types", None)
    if names is None:
        return value
    attributes = {name.lstrip("_"): told(getattr(value, name, None)) for name in names}
    return {"$model": type(value).__name__, "attributes": attributes}


def raised(error: Exception) -> dict[str, Any]:
    """An error as a user catches it."""
    return {
        "raised": type(error).__name__,
        "text": str(error),
        "status": getattr(error, "status", None),
        "message": getattr(error, "message", None),
    }


def main() -> None:
    """Carry out one request after the other until nobody asks any more."""
    clients = clients_of(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["client"] == "surface":
                answer = {"gave": {"methods": methods(clients), "tasks": task_class_names()}}
            else:
                method = getattr(clients[asked["client"]], asked["method"])
                answer = {"gave": told(method(*given(asked["args"]), **given(asked["kwargs"])))}
        except Exception as error:
            answer = raised(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
