"""Tasks for the process pool; at module level, because a child finds them by import."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from orchestrator.context import TaskContext
from orchestrator.task import task


@task(pool="process")
def tells(context: TaskContext, word: str = "hello") -> dict[str, Any]:
    context.log(f"saying {word}")
    current = TaskContext.current()
    return {"word": word, "pid": os.getpid(), "key": current.idempotency_key, "delivery": context.delivery}


@task(pool="process")
def dies() -> None:
    os._exit(3)


@task(pool="process")
def exits() -> None:
    sys.exit("not like this")


@task(pool="process")
def hangs() -> None:
    threading.Event().wait()


@task(pool="process", runtime_metadata=["TOKEN", "NOBODY"])
def metadata_length(context: TaskContext) -> dict[str, Any]:
    found = context.runtime_metadata
    return {"names": list(found), "length": len(found["TOKEN"])}
