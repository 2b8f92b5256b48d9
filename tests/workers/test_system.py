"""The system-task role as a process: it claims like a worker, drains on a signal, and ends with its host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import codec
from orchestrator.engine import extras
from orchestrator.errors import InvalidRequest
from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator_workers.system import run_system
from tests.support.eventually import eventually
from tests.systemtasks.peer import Peer, answer
from tests.workers.estate import Estate

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from orchestrator.settings import Settings
from orchestrator_workers.system import run_system
settings = Settings(redis_url=sys.argv[1], partitions=2, http_hosts=sys.argv[2])
host_fd = int(sys.argv[3]) if len(sys.argv) > 3 else None
sys.exit(run_system(settings, 8, only=["HTTP", "SCRIPT"], host_fd=host_fd))
"""


@pytest.fixture
def estate(redis_url: str) -> Iterator[Estate]:
    estate = Estate(redis_url)
    yield estate
    estate.close()


def start(estate: Estate, peer: Peer, host_fd: int | None = None, hosts: str | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])}
    arguments = [sys.executable, "-c", SCRIPT, estate.settings.redis_url, hosts or peer.hosts]
    passed = () if host_fd is None else (host_fd,)
    return subprocess.Popen([*arguments, *map(str, passed)], env=environment, pass_fds=passed)


def test_the_role_carries_tasks_out_and_registers_no_task_definition(estate: Estate) -> None:
    with Peer({"/": answer(b'{"a": 1}')}) as peer:
        task_id = estate.add("HTTP", {"uri": peer.url("/"), "method": "GET"})
        with start(estate, peer) as process:
            eventually(lambda: bool(estate.reports(task_id)), timeout_s=20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert estate.output(task_id)["response"]["body"] == {"a": 1}
    assert estate.is_empty("HTTP")
    assert estate.executor.do(Command(("HLEN", estate.store.keys.task_definitions()))) == 0


def test_a_role_whose_host_is_gone_hands_its_tasks_back_and_ends(estate: Estate) -> None:
    with Peer({}) as peer:
        peer.behaviours["/"] = peer.hang
        task_id = estate.add("HTTP", {"uri": peer.url("/"), "method": "GET", "readTimeOut": 600_000})
        theirs, ours = os.pipe()
        with start(estate, peer, theirs) as process:
            os.close(theirs)
            eventually(lambda: estate.dispatch(task_id).startswith("R"), timeout_s=20)
            os.close(ours)
            assert process.wait(20) == 0
    assert (estate.queue("HTTP").ready, estate.queue("HTTP").leased) == (1, 0)


def test_an_unfinished_task_that_somebody_outside_completes_leaves_its_queue(estate: Estate) -> None:
    with Peer({"/": answer(b"{}", "202 Accepted")}) as peer:
        estate.limit("HTTP", concurrency=1)
        given = {"uri": peer.url("/"), "method": "GET", "asyncComplete": True}
        parked = estate.add("HTTP", given)
        with start(estate, peer) as process:
            eventually(lambda: estate.is_empty("HTTP"), timeout_s=20)
            another = estate.add("HTTP", {**given, "asyncComplete": False})
            eventually(lambda: bool(estate.reports(another)), timeout_s=20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert estate.dispatch(parked).startswith("W ")
    outcome = estate.outcome(parked)
    assert outcome.status == "IN_PROGRESS"
    assert codec.unpack(bytes(outcome.output))["response"]["statusCode"] == 202


def completed(estate: Estate, task_id: str) -> bool:
    """Whether the last word on a task is that it is done; a busy host may have had it postponed before."""
    return [report.outcome.status for report in estate.reports(task_id)][-1:] == ["COMPLETED"]


def test_a_host_that_hangs_holds_up_neither_calls_of_other_hosts_nor_scripts(estate: Estate) -> None:
    with Peer({"/": answer(b"{}")}) as peer:
        peer.behaviours["/hang"] = peer.hang
        address = f"127.0.0.1:{peer.port}"
        hosts = f"slow.example={address},{peer.hosts}"
        endless = {"uri": "http://slow.example/hang", "method": "GET", "readTimeOut": 600_000}
        hanging = [estate.add("HTTP", endless) for _ in range(30)]
        others = [estate.add("HTTP", {"uri": peer.url("/"), "method": "GET"}) for _ in range(20)]
        script = estate.add("SCRIPT", {"language": "python", "script": "return 1", "input": {}})
        with start(estate, peer, hosts=hosts) as process:
            eventually(lambda: all(completed(estate, one) for one in [*others, script]), timeout_s=30)
            assert sum(asked.path == "/hang" for asked in peer.asked) == 2
            assert sum(estate.dispatch(one).startswith("R") for one in hanging) >= 2
            process.kill()
    assert estate.output(script) == {"result": 1}


def test_a_process_that_can_carry_out_nothing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.PACKAGES, "HTTP", ("no_such_module", "http"))
    with pytest.raises(InvalidRequest, match=r"pip install 'redis-orchestrator\[http\]'"):
        run_system(Settings(), only=["HTTP"])
