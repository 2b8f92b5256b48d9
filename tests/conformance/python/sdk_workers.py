"""Workers of the official Python SDK, as its users write them. Runs in the SDK's environment, which has no package of ours.

``python sdk_workers.py URL`` works until its standard input ends. The SDK reads annotations as they are: none is postponed.
"""

import sys
import threading
from typing import Any

from conductor.client.automator.task_handler import TaskHandler  # type: ignore[import-not-found]
from conductor.client.configuration.configuration import Configuration  # type: ignore[import-not-found]
from conductor.client.context.task_context import TaskInProgress, get_task_context  # type: ignore[import-not-found]
from conductor.client.worker.exception import NonRetryableException  # type: ignore[import-not-found]
from conductor.client.worker.worker_task import worker_task  # type: ignore[import-not-found]


@worker_task(task_definition_name="greet", thread_count=2)  # type: ignore[untyped-decorator]
def greet(name: str) -> str:
    return f"Hello, {name}"


@worker_task(task_definition_name="greet_eu", domain="eu")  # type: ignore[untyped-decorator]
def greet_eu(name: str) -> str:
    return f"Hello from the EU, {name}"


@worker_task(task_definition_name="count_up", thread_count=1)  # type: ignore[untyped-decorator]
async def count_up(number: int) -> dict[str, int]:
    return {"number": number + 1}


@worker_task(task_definition_name="flaky")  # type: ignore[untyped-decorator]
def flaky() -> str:
    attempt = get_task_context().get_retry_count()
    if attempt == 0:
        raise RuntimeError("not at the first attempt")
    return f"attempt {attempt}"


@worker_task(task_definition_name="hopeless")  # type: ignore[untyped-decorator]
def hopeless() -> str:
    raise NonRetryableException("never")


@worker_task(task_definition_name="stepwise")  # type: ignore[untyped-decorator]
def stepwise() -> Any:
    context = get_task_context()
    context.add_log(f"poll {context.get_poll_count()}")
    if context.get_poll_count() < 3:
        return TaskInProgress(callback_after_seconds=1, output={"step": context.get_poll_count()})
    return {"polls": context.get_poll_count()}


@worker_task(task_definition_name="slow", lease_extend_enabled=True)  # type: ignore[untyped-decorator]
def slow(seconds: int) -> str:
    threading.Event().wait(seconds)
    return f"slept {seconds} s"


def main() -> None:
    """Work until nobody wants it any more."""
    with TaskHandler(configuration=Configuration(server_api_url=sys.argv[1])) as handler:
        handler.start_processes()
        print("working", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
