"""The folder of a ``dev`` (``.orchestrator``): one ``dev`` at a time, its facts for other commands, its data.

A lock that the system drops with its holder says whether a ``dev`` runs; ``dev.json`` says where its Redis is and which
processes belong to it, so that commands find it and the next ``dev`` ends what a kill left behind. Called by ``dev``
and by every command that was not told which Redis to use.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import Conflict, InvalidRequest
from orchestrator_cli.processes import Process, end, process

DEFAULT = ".orchestrator"
LEFTOVER_GRACE_S = 5.0


class Folder:
    """One ``dev`` folder, locked by this process from ``take`` to ``leave``.

    Example: ``folder = Folder(Path(".orchestrator")); folder.take()``
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def facts_path(self) -> Path:
        """Where ``dev.json`` is."""
        return self.path / "dev.json"

    def take(self) -> None:
        """Lock the folder, making it when needed, and end processes that a killed ``dev`` left behind.

        Raises ``Conflict`` when a ``dev`` runs there and ``InvalidRequest`` when the folder cannot be used.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._ignore_in_git()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidRequest(f"cannot use the folder {self.path}: {error.strerror}; name another: --data") from None
        if not _locked(self._lock):
            self._unlock()
            pid = read_facts(self.path).get("pid", "unknown")
            raise Conflict(f"a dev runs in {self.path} already (process {pid}); end it first, or use another --data")
        left = [Process(entry["pid"], entry["began"]) for entry in read_facts(self.path).get("children", [])]
        end(left, LEFTOVER_GRACE_S)

    def write(self, redis_url: str, port: int, children: Mapping[str, int]) -> None:
        """Publish what runs here: ``children`` are process ids by role, ``port`` is that of the HTTP server."""
        listed = [{"role": role, **process(pid)._asdict()} for role, pid in children.items()]
        facts = {"pid": os.getpid(), "redis_url": redis_url, "port": port, "children": listed}
        draft = self.facts_path.with_suffix(".draft")
        # Readable by its owner alone: a Redis URL may hold a password.
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2)
        draft.replace(self.facts_path)  # in one step, so that a reader never sees half of it

    def leave(self) -> None:
        """Withdraw the facts and unlock; the data stay."""
        self.facts_path.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _ignore_in_git(self) -> None:
        marker = self.path / ".gitignore"
        if not marker.exists():
            marker.write_text("*\n")


def read_facts(path: Path) -> dict[str, Any]:
    """What the last ``dev`` in that folder published; empty when there is nothing to read."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((path / "dev.json").read_text())
        if isinstance(facts, dict):
            return facts
    return {}


def running_redis_url(path: Path) -> str | None:
    """The Redis of the ``dev`` that runs in that folder; None when none runs. Example: ``running_redis_url(folder)``"""
    url = read_facts(path).get("redis_url")
    if url is None:
        return None
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _locked(lock) else str(url)
    finally:
        os.close(lock)


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours now; False when somebody else holds it."""
    import fcntl  # not on Windows, where there is no dev

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
