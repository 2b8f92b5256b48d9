"""The processes under attack, as things that can be started, killed with SIGKILL and started again.

All roles are children of the run and are gone when its ``with`` block ends; nothing else is ever signalled. Each life of
a role has a name of its own (``worker-2.3`` is the third), which is the name in its journal. The Redis server is the one
of tests/support, put behind the same three verbs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.support.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 30.0


class Victim(Protocol):
    """Whatever can be killed."""

    @property
    def role(self) -> str:
        """What it is: decider, worker or redis."""
        ...

    @property
    def life(self) -> str:
        """The name of its present life."""
        ...

    def start(self) -> None:
        """Begin a life."""
        ...

    def kill(self) -> None:
        """End it with SIGKILL; returns when it is dead."""
        ...


class Role:
    """A decider or a worker."""

    def __init__(self, role: str, number: int, environment: dict[str, str], folder: Path) -> None:
        self.role = role
        self.name = f"{role}-{number}"
        self._environment = environment
        self._log = folder / f"{self.name}.log"
        self._lives = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def life(self) -> str:
        """The name of its present life."""
        return f"{self.name}.{self._lives}"

    @property
    def has_crashed(self) -> bool:
        """Whether it ended although nobody killed it."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Begin a life."""
        self._lives += 1
        command = [sys.executable, "-m", "tests.crash.roles", self.role, self.life]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """End it with SIGKILL; returns when it is dead."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def log_tail(self, lines: int = 15) -> str:
        """The end of what it has logged in all its lives."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Store:
    """The Redis server, as a victim."""

    role = "redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._lives = 1

    @property
    def life(self) -> str:
        """The name of its present life."""
        return f"redis.{self._lives}"

    def start(self) -> None:
        """Begin a new life with the data of the last one."""
        self._lives += 1
        self._server.restart()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._server.kill()


class Estate:
    """Everything under attack, by name. Example: ``with Estate(server, environment, folder) as estate: ...``"""

    def __init__(
        self, server: RedisServer, settings: dict[str, str], folder: Path, deciders: int = 2, workers: int = 3
    ) -> None:
        path = os.pathsep.join(str(ROOT / part) for part in ("", "workers", "cli"))
        environment = {**os.environ, "PYTHONPATH": path, "ORCHESTRATOR_REDIS_URL": server.url, **settings}
        self.roles = [Role("decider", number, environment, folder) for number in range(1, deciders + 1)]
        self.roles += [Role("worker", number, environment, folder) for number in range(1, workers + 1)]
        self.victims: dict[str, Victim] = {role.name: role for role in self.roles}
        self.victims["redis"] = Store(server)

    def stop(self) -> None:
        """End all roles in an orderly way; the store goes on."""
        for role in reversed(self.roles):
            role.stop()

    def __enter__(self) -> Self:
        for role in self.roles:
            role.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for role in self.roles:
            role.kill()
