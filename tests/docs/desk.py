"""The desk of somebody who reads a page: a folder, a terminal, an installation on a Redis of its own, and Python.

Decider and worker run in threads of this process, which is quicker than processes; roles that a page itself starts are
processes. Programs of a page run here too, in one namespace.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import msgspec

from orchestrator import Client, Workflow, testing
from orchestrator.engine.process import DeciderProcess
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.desired import Desired, parse_desired
from orchestrator.model.documents import load_documents
from orchestrator.model.webhooks import Webhook
from orchestrator.model.wire import workflow_def_to_dict
from orchestrator.model.wire_read import read_struct
from orchestrator.settings import Settings
from orchestrator.task import Task
from orchestrator_workers.worker import Worker
from tests.docs.blocks import Block
from tests.docs.terminal import Terminal


class Desk:
    """What a page is read at. ``names`` is the namespace of its programs, that of a module.

    Example: ``Reader(desk.terminal, desk.python, desk.judge).read(blocks)``
    """

    def __init__(self, terminal: Terminal, client: Client, module: ModuleType) -> None:
        self.terminal = terminal
        self.client = client
        self.names: dict[str, Any] = module.__dict__

    def python(self, block: Block) -> str:
        """Run a program; what it prints. It may await at its top, as in ``python -m asyncio``."""
        text = self.terminal.localized("\n" * block.line + block.text)
        code = compile(text, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(code, self.names)
            if inspect.iscoroutine(result):
                asyncio.run(_awaited(result))
        return printed.getvalue()

    def judge(self, block: Block) -> None:
        """A definition must be one that an installation takes, and the same as what the page wrote under its name in Python."""
        for document in load_documents(block.text, f"page.{block.language}"):
            assert isinstance(document, dict), str(block)
            if block.is_file and "name" not in document:
                continue  # the data of a command, which judges it
            with testing.environment() as env:
                if "verifier" in document:
                    webhook, problems = read_struct(Webhook, document)
                    assert not problems, f"{block}: {problems}"
                    env.client.save_webhook(webhook)
                    continue
                if "taskReferenceName" in document:
                    document = {"name": "page", "version": 1, "tasks": [document]}
                desired = Desired.none()
                parse_desired(msgspec.json.encode(document), f"{block}.json", desired)
                env.client.register(*desired.schemas, *desired.task_defs, *desired.workflows)
                env.client.apply_event_handlers(*desired.handlers)
                for schedule in desired.schedules:
                    env.client.save_schedule(schedule)
                for workflow in desired.workflows:
                    self._compare(block, workflow)

    def _compare(self, block: Block, shown: WorkflowDef) -> None:
        for written in self.names.values():
            if isinstance(written, Workflow) and written.name == shown.name:
                assert workflow_def_to_dict(shown) == written.to_dict(), f"{block} is not what the page's Python says"


@contextlib.contextmanager
def engine(url: str, tasks: Sequence[Task[..., Any]]) -> Iterator[None]:
    """A decider, and a worker of these tasks if there are any, each in a thread."""
    settings = Settings(redis_url=url, drain_timeout_s=1, ownership_ms=1_500)  # beats often, so that it ends soon
    process, ready = DeciderProcess(settings), threading.Event()
    decider = threading.Thread(target=process.run, args=(ready.set,), daemon=True)
    decider.start()
    assert ready.wait(10)
    try:
        with _working(settings, tasks) if tasks else contextlib.nullcontext():
            yield
    finally:
        process.stop()
        decider.join()


@contextlib.contextmanager
def _working(settings: Settings, tasks: Sequence[Task[..., Any]]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    worker = Worker(settings, tasks=tasks)
    hands = threading.Thread(target=loop.run_until_complete, args=(worker.run(),), daemon=True)
    hands.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(worker.request_stop)
        hands.join()
        loop.close()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
