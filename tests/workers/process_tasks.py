"""Tasks for the process pool; at module level, because a child finds them by import."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from orchestrator.context import TaskContext
from orchestrator.task import task
from orchestrator_workers.children import resident_bytes


@task(pool="process")
def tells(context: TaskContext, word: str = "hello") -> dict[str, Any]:
    context.log(f"saying {word}")
    current = TaskContext.current()
    return {"word": word, "pid": os.getpid(), "key": current.idempotency_key, "delivery": context.delivery}


_leaked: list[bytes] = []


@task(pool="process")
def leaks(megabytes: int) -> dict[str, int]:
    _leaked.append(b"x" * (megabytes * 1024 * 1024))
    resident = resident_bytes(os.getpid()) or 0
    return {"pid": os.getpid(), "leaked": sum(map(len, _leaked)) // (1024 * 1024), "resident": resident}


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
