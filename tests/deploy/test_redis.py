"""redis.conf, valkey.conf and the users: real servers run with them, and our roles need exactly what the users may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator import Client, Workflow, WorkflowHandle, task
from orchestrator.errors import OrchestratorError
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.event_handlers import EventHandler, event_handler_from_dict
from orchestrator.model.wire import workflow_def_from_dict
from tests.cli.conftest import PATHS, Command, finished
from tests.deploy.conftest import DEPLOY, ROOT
from tests.support.eventually import eventually
from tests.support.redis_server import Kind, RedisServer

FOLDER = DEPLOY / "redis"
OPERATOR, ROLES = "operator:change-me", "orchestrator:change-me@"
OURS = ROOT / "orchestrator"

CONNECTING = {"auth", "hello", "select", "subscribe", "unsubscribe", "eval", "evalsha"}
"""What the client library sends of itself."""

ELSEWHERE = {"asking", "waitaof"}
"""Only on a cluster, and only with durability=fsync, which Redis 7.0 has not: the comments of redis.conf say so."""

NO_COMMANDS = {"keys", "flushall"}
"""A word of a script's header; and what only the fake in tests is asked."""


@pytest.fixture(params=["redis", "valkey"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of each kind with our configuration and users."""
    kind: Kind = request.param
    request.getfixturevalue(f"{kind}_server")  # where that is missing, so is this
    folder = tmp_path_factory.mktemp(kind)
    (folder / f"{kind}.conf").write_text((FOLDER / f"{kind}.conf").read_text().replace("dir /data", f"dir {folder}"))
    options = {"aclfile": str(FOLDER / "users.acl"), "enable-debug-command": "no"}
    with RedisServer(kind, options=options, config=folder / f"{kind}.conf", credentials=OPERATOR) as server:
        yield server


@pytest.fixture
def operator(server: RedisServer) -> Iterator[redis.Redis]:
    """What the operator does, on an empty server."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        client.acl_log_reset()
        yield client


@task
def charge(amount: int = 1) -> int:
    return amount


@task(concurrency=2)
def ship() -> str:
    return "van 4"


def step(kind: str, ref: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "name": ref, "taskReferenceName": ref, **fields}


def flow() -> WorkflowDef:
    """Something of everything that commits, queues, relays and system tasks do."""
    script = {"evaluatorType": "javascript", "expression": "1 + 1"}
    branches = [
        [step("SIMPLE", "charge")],
        [step("SIMPLE", "ship")],
        [step("SUB_WORKFLOW", "sub", subWorkflowParam={"name": "inner"})],
        [step("WAIT", "pause", inputParameters={"duration": "1 seconds"})],
    ]
    steps = [
        step("INLINE", "script", inputParameters=script),
        step("SET_VARIABLE", "set", inputParameters={"x": 1}),
        step("FORK_JOIN", "fork", forkTasks=branches),
        step("JOIN", "join", joinOn=["charge", "ship", "sub", "pause"]),
        step("EVENT", "event", sink="conductor:done"),
        step("START_WORKFLOW", "start", inputParameters={"startWorkflow": {"name": "inner"}}),
        step("WAIT", "approval"),
    ]
    return workflow_def_from_dict({"name": "flow", "version": 1, "schemaVersion": 2, "tasks": steps})


def handler() -> EventHandler:
    start = {"action": "start_workflow", "start_workflow": {"name": "inner"}}
    return event_handler_from_dict({"name": "note", "event": "conductor:flow:done", "active": True, "actions": [start]})


# --- what the users may do ----------------------------------------------------------------------------------------------


def used(names: set[str]) -> set[str]:
    """The commands that the product sends, in scripts and from Python; ``names`` are all that there are."""
    pairs = set()
    for path in (OURS / "store" / "lua").rglob("*.lua"):
        pairs |= set(re.findall(r"""['"]([A-Z]{3,})['"](?:, *['"]([A-Z]+)['"])?""", path.read_text()))
    for folder in (OURS, ROOT / "workers", ROOT / "cli"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if is_command(node, path.parent.name == "store"):
                    words = [*constants(node), ""]
                    pairs |= set(pairwise(words))
    both = {f"{first}|{second}".lower() for first, second in pairs}
    return ({first.lower() for first, _ in pairs} | both) & names


def is_command(node: ast.AST, is_store: bool) -> bool:
    """Whether words for Redis stand here: those of a ``Command``; in the store also in lists and tuples of their own."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "Command"
    return is_store and isinstance(node, ast.List | ast.Tuple)


def constants(tree: ast.AST) -> list[str]:
    """Strings in capitals, in their order."""
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    ordered = sorted(strings, key=lambda node: (node.lineno, node.col_offset))
    return [str(node.value) for node in ordered if re.fullmatch("[A-Z]{3,}", str(node.value))]


def test_the_roles_may_do_what_they_do_and_nothing_else(server: RedisServer, operator: redis.Redis) -> None:
    names = set(map(str, operator.command_list()))
    names |= {"xgroup|create", "xgroup|delconsumer", "xgroup|destroy"}
    names |= {"xinfo|groups", "xinfo|consumers", "client|setname", "client|setinfo"}
    allowed = set(re.findall(r"\+([a-z|]+)", (FOLDER / "users.acl").read_text().splitlines()[1]))
    needed = (used(names) - {"xgroup", "xinfo"} - ELSEWHERE - NO_COMMANDS) | CONNECTING
    assert (needed - allowed, allowed - needed) == (set(), set())


# --- workflows run through it -----------------------------------------------------------------------------------------


def approve(handle: WorkflowHandle) -> None:
    """Signal it as soon as it waits for that."""

    def signalled() -> None:
        handle.signal("approval")

    eventually(signalled, timeout_s=30, retry_on=(OrchestratorError,))


def test_all_roles_and_clients_live_with_these_users(
    server: RedisServer, operator: redis.Redis, command: Command, tmp_path: Path
) -> None:
    url = server.url_of(ROLES)
    (tmp_path / "mine.py").write_text("from tests.deploy.test_redis import charge, ship\n")
    environment = {"ORCHESTRATOR_REDIS_URL": url, "PYTHONPATH": PATHS}
    for role in (["decider"], ["worker", "mine.py"], ["server", "--port", "0"]):
        command(*role, environment=environment)
    with Client(url) as client:
        client.register(charge, ship, Workflow("inner").then(charge, amount=2), flow())
        client.apply_event_handlers(handler())
        client.schedule_workflow("every-second", "inner", "* * * * * ?")
        started = [client.start_workflow("flow") for _ in range(3)]
        for handle in started:
            approve(handle)
        for handle in started:
            handle.result(timeout_s=30)
        assert client.enqueue("charge", amount=3).result(timeout_s=20) == {"result": 3}
        patient = client.start_workflow(Workflow("patient").wait(for_s=600))
        patient.pause()
        patient.resume()
        patient.terminate("enough")
        patient.restart()
        patient.remove(force=True)
        assert client.search("status = COMPLETED").total >= 3
        eventually(lambda: len(client.event_executions("note")) == 3, timeout_s=20)
        eventually(lambda: len(client.schedule_executions("every-second")) > 1, timeout_s=20)
        client.delete_schedule("every-second")
    for arguments in (
        ["doctor"],
        ["queue", "list"],
        ["key", "create", "k", "--role", "admin"],
        ["env", "set", "A", "1"],
    ):
        status, _, told = finished(command(*arguments, environment=environment))
        assert status in (0, 1), told
    refusals = [entry for entry in operator.acl_log() if entry["object"] != "client|setinfo"]
    assert refusals == []


def test_nobody_else_may_do_anything_and_the_roles_keep_to_their_keys(
    server: RedisServer, operator: redis.Redis
) -> None:
    with redis.Redis.from_url(server.url_of("")) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.get("orc:{orc.c}:meta")
    with redis.Redis.from_url(server.url_of(ROLES)) as role:
        role.hset("orc:{orc.c}:meta", "a", "1")
        for refused in ("rq:job:1", "another:{another.c}:meta"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                role.hset(refused, "a", "1")
        for words in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("SCRIPT", "FLUSH"), ("ACL", "LIST")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                role.execute_command(*words)


# --- the configurations ---------------------------------------------------------------------------------------------------


def directives(name: str) -> dict[str, str]:
    """Directive -> value, those that are repeated together."""
    found: dict[str, str] = {}
    for line in (FOLDER / name).read_text().splitlines():
        if line and not line.startswith("#"):
            word, _, value = line.partition(" ")
            found[word] = f"{found[word]}; {value}" if word in found else value
    return found


def test_the_configuration_of_valkey_says_what_that_of_redis_says() -> None:
    ours, theirs = directives("redis.conf"), directives("valkey.conf")
    assert theirs.pop("io-threads") == "1"
    assert theirs.pop("aclfile") == ours.pop("aclfile").replace("redis", "valkey")
    renamed = {"masteruser": "primaryuser", "masterauth": "primaryauth"}
    assert theirs == {renamed.get(word, word): value for word, value in ours.items()}


def test_every_directive_is_in_force(server: RedisServer, operator: redis.Redis) -> None:
    asked = {
        "maxmemory": str(3 * 1024**3),
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "maxclients": "10000",
    }
    told = operator.config_get("*")
    assert {name: told[name] for name in asked} == asked
    assert told["masterauth"] == "change-me"
