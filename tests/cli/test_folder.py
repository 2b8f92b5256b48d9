"""The folder of a dev: one at a time, found by others while it runs, and cleaned of what a kill left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import Conflict, InvalidRequest
from orchestrator_cli.folder import Folder, read_facts, running_redis_url
from orchestrator_cli.processes import Process, end, process
from orchestrator_cli.session import Session

URL = "redis://127.0.0.1:4711/0"
FOREVER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
DEAF = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()",
]


def begun(command: list[str]) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.stdout.close()
    return child


def test_a_dev_is_found_while_it_runs_and_not_after(tmp_path: Path) -> None:
    folder = Folder(tmp_path / ".orchestrator")
    assert running_redis_url(folder.path) is None
    folder.take()
    folder.write(URL, 8080, {"store": os.getpid()})
    assert running_redis_url(folder.path) == URL
    assert read_facts(folder.path)["port"] == 8080
    assert folder.facts_path.stat().st_mode & 0o077 == 0
    session = Session({})
    assert session.settings.redis_url == URL
    assert not session.is_named
    assert "the dev running in" in session.hint
    folder.leave()
    assert running_redis_url(folder.path) is None
    assert Session({}).found == "default"


def test_facts_that_a_kill_left_behind_are_not_believed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.take()
    folder.write(URL, 8080, {})
    os.close(folder._lock or 0)  # as the system does with the locks of a process that was killed
    assert folder.facts_path.exists()
    assert running_redis_url(folder.path) is None


def test_two_devs_do_not_share_a_folder(tmp_path: Path) -> None:
    first = Folder(tmp_path / "data")
    first.take()
    first.write(URL, 8080, {})
    with pytest.raises(Conflict, match=f"process {os.getpid()}"):
        Folder(tmp_path / "data").take()
    assert running_redis_url(first.path) == URL
    first.leave()
    Folder(tmp_path / "data").take()


def test_what_a_killed_dev_left_running_is_ended_by_the_next(tmp_path: Path) -> None:
    first = Folder(tmp_path / "data")
    first.take()
    child = begun(FOREVER)
    first.write(URL, 8080, {"store": child.pid})
    os.close(first._lock or 0)
    Folder(tmp_path / "data").take()
    assert child.wait(5) != 0


def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path: Path) -> None:
    child = begun(FOREVER)
    stranger = Process(child.pid, "some other time")
    assert not stranger.is_alive
    end([stranger], 1)
    assert child.poll() is None
    end([process(child.pid)], 5)
    assert child.wait(5) != 0


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = begun(DEAF)
    end([process(child.pid)], 0.1)
    assert child.wait(5) == -9


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="--data"):
        Folder(tmp_path / "file" / "data").take()
