"""Tasks for work-horses, good and bad; at module level, because a stable finds them by import."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any

from orchestrator.context import TaskContext
from orchestrator.task import task


@task(pool="rq")
def rides(context: TaskContext, number: int = 0) -> dict[str, Any]:
    context.log("at a trot")
    return {"number": number, "pid": os.getpid(), "stable": os.getppid(), "key": context.idempotency_key}


@task(pool="rq")
def mixed(number: int, kind: str) -> int:
    match kind:
        case "segfault":
            ctypes.string_at(0)
        case "leak":
            leaked = [b"x" * 1_000_000]
            while True:
                leaked.append(leaked[-1] + b"x" * 10_000_000)
    return number


@task(pool="rq", timeout_s=1)
def heeds_its_limit() -> None:
    threading.Event().wait()


@task(pool="rq", timeout_s=1)
def heeds_nothing() -> None:
    while True:
        try:
            threading.Event().wait()
        except BaseException as error:
            print(type(error).__name__, file=sys.stderr)


@task(pool="rq")
def leaves_a_mark(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    threading.Event().wait()


@task(pool="rq")
def prints_binary(size: int) -> str:
    sys.stdout.buffer.write(bytes(range(256)))
    return "x" * size


@task(pool="rq")
def ends_itself(status: int) -> None:
    os._exit(status)
