"""A reader's terminal: the commands of a page, typed as they stand.

A role (``orchestrator dev``, ``decider``, ``worker``, ...) goes on in the background, as in a terminal of its own, and the
next command is typed when it is ready; one that runs already is killed first. Variables stay.
Nothing outlives the terminal.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cli.conftest import end_group
from tests.support.eventually import eventually

ROLE = re.compile(r"^orchestrator (dev|decider|worker|system|server)\b")
READY = re.compile(r"Try next|decider_ready|worker_started|Serving ")
SERVED = re.compile(r"http://127\.0\.0\.1:(\d+)/api")
PORT = re.compile(r"(?<=localhost:|127\.0\.0\.1:)8080\b")
"""Of our servers, on all pages; here somebody else may listen there, so they take a port that is free."""
LISTENS = re.compile(r"(--port|--metrics-port) \d+")
START_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 240.0


class Terminal:
    """Runs commands in a folder. ``addresses``: what to put in the place of addresses that readers have to choose.

    Example: ``with Terminal(folder, {"PATH": path}) as terminal: assert terminal.run("echo 1") == "1\\n"``
    """

    def __init__(self, folder: Path, environment: dict[str, str], addresses: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment
        self._addresses = addresses or {}
        self._roles: dict[str, subprocess.Popen[str]] = {}
        self._port = "8080"

    def localized(self, text: str) -> str:
        """A text with the addresses that are right here in the place of those that stand for a reader's own."""
        for shown, right in self._addresses.items():
            text = text.replace(shown, right)
        return PORT.sub(self._port, text)

    def run(self, text: str) -> str:
        """Type the lines of a block; what they print. A command that fails fails the test."""
        printed, commands = "", ""
        for line in text.splitlines(keepends=True):
            if ROLE.match(line):
                printed += self._finish(commands)
                commands = ""
                self._start(line.rstrip("\n"))
            else:
                commands += line
        return printed + self._finish(commands)

    def end_roles(self) -> None:
        """End what goes on in the background."""
        while self._roles:
            _, role = self._roles.popitem()
            role.terminate()
            try:
                role.wait(20)
            finally:
                end_group(role)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end_roles()

    def _finish(self, commands: str) -> str:
        if not commands:
            return ""
        kept = self.folder / ".variables"
        done = subprocess.run(
            ["bash", "-aeuo", "pipefail", "-c", f"{self.localized(commands)}\nenv -0 > '{kept}'"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        self.environment = dict(variable.split("=", 1) for variable in kept.read_text().split("\0") if variable)
        kept.unlink()
        return done.stdout

    def _start(self, command: str) -> None:
        if before := self._roles.pop(command, None):
            end_group(before)
        log = self.folder / f".terminal-{len(self._roles)}"
        listening = LISTENS.sub(r"\1 0", command)
        if command.startswith("orchestrator server") and listening == command:
            listening += " --port 0"
        with log.open("w") as out:
            role = subprocess.Popen(
                ["bash", "-c", f"exec {self.localized(listening)}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=True,
                start_new_session=True,
            )
        self._roles[command] = role

        def is_ready() -> None:
            if role.poll() is not None:
                raise ChildProcessError(f"{command}\n{log.read_text()}")
            assert READY.search(log.read_text()), f"{command}\n{log.read_text()}"

        eventually(is_ready, START_TIMEOUT_S)
        if served := SERVED.search(log.read_text()):
            self._port = served[1]
