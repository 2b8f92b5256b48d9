"""Tasks that do what tasks must not do, in every pool where they can; at module level, because children import them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from orchestrator.context import TaskContext
from orchestrator.task import task


def _forked(word: str) -> dict[str, Any]:
    begun = os.getpid()
    child = os.fork()
    if child:
        return {"word": word, "is_child": os.getpid() != begun, "status": os.waitpid(child, 0)[1]}
    if word == "raise":
        raise RuntimeError("in the child")
    return {"word": word, "is_child": True}


@task(pool="thread")
def forks_in_thread(word: str) -> dict[str, Any]:
    return _forked(word)


@task(pool="process")
def forks_in_process(word: str) -> dict[str, Any]:
    return _forked(word)


@task(pool="rq")
def forks_in_rq(word: str) -> dict[str, Any]:
    return _forked(word)


@task
async def forks_in_loop(word: str) -> dict[str, Any]:
    return _forked(word)


def _printed(context: TaskContext) -> dict[str, int]:
    junk = bytes(range(256)) * 300
    os.write(1, junk)
    os.write(2, junk)
    sys.stdout.buffer.write(junk)
    context.log("\udc80\x00" + "é" * 10)
    return {"length": len(junk)}


@task(pool="thread")
def prints_in_thread(context: TaskContext) -> dict[str, int]:
    return _printed(context)


@task(pool="process")
def prints_in_process(context: TaskContext) -> dict[str, int]:
    return _printed(context)


@task(pool="rq")
def prints_in_rq(context: TaskContext) -> dict[str, int]:
    return _printed(context)


@task
async def prints_in_loop(context: TaskContext) -> dict[str, int]:
    return _printed(context)


def _deaf(path: str) -> None:
    if path.endswith(("process", "rq")):  # elsewhere it is the worker's own signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).write_text(str(os.getpid()))
    while True:
        threading.Event().wait()


@task(pool="thread")
def deaf_in_thread(path: str) -> None:
    _deaf(path)


@task(pool="process")
def deaf_in_process(path: str) -> None:
    _deaf(path)


@task(pool="rq")
def deaf_in_rq(path: str) -> None:
    _deaf(path)


def _late(path: str, delivery: int) -> int:
    if delivery == 1:
        Path(path).write_text(str(os.getpid()))
        threading.Event().wait(1)
    return delivery


@task(pool="thread")
def late_in_thread(context: TaskContext, path: str) -> int:
    return _late(path, context.delivery)


@task(pool="process")
def late_in_process(context: TaskContext, path: str) -> int:
    return _late(path, context.delivery)


@task(pool="rq")
def late_in_rq(context: TaskContext, path: str) -> int:
    return _late(path, context.delivery)


@task
async def late_in_loop(context: TaskContext, path: str) -> int:
    return _late(path, context.delivery)


def _blocked(mark: Path, delivery: int) -> int:
    """The first delivery holds its loop until the second has begun."""
    other = mark.with_suffix(".other")
    (mark if delivery == 1 else other).write_text("begun")
    while not other.exists():
        threading.Event().wait(0.01)
    return delivery


@task
async def blocks_the_loop(context: TaskContext, path: str) -> int:
    return _blocked(Path(path), context.delivery)


@task(pool="process")
def crashes_in_process() -> None:
    ctypes.string_at(0)


@task
async def kills_its_worker() -> None:
    ctypes.string_at(0)


@task(pool="process")
def well(number: int) -> int:
    return number
