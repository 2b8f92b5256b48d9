"""What a role tells the service manager that started it: that it is ready, that it goes on, that it ends.

The protocol of systemd (``Type=notify``, ``WatchdogSec=``): datagrams to the socket that ``NOTIFY_SOCKET`` names. Without
that variable nothing is done. The variables are taken out of the environment, so that no child speaks for its parent.
Called by the roles.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Self


class Notifier:
    """Tells the service manager of one process; ``is_live`` says whether the watchdog is to be fed.

    Example: ``with Notifier(liveness.is_live) as notifier: notifier.ready()``
    """

    def __init__(self, is_live: Callable[[], bool], environ: MutableMapping[str, str] | None = None) -> None:
        variables = os.environ if environ is None else environ
        self._address = variables.pop("NOTIFY_SOCKET", "")
        watchdog_us, pid = variables.pop("WATCHDOG_USEC", ""), variables.pop("WATCHDOG_PID", "")
        is_ours = pid in ("", str(os.getpid()))
        self._ping_every_s = int(watchdog_us) / 2_000_000 if watchdog_us.isdigit() and is_ours else 0.0
        self._is_live = is_live
        self._ended = threading.Event()
        self._pings = threading.Thread(target=self._ping, name="orchestrator-watchdog", daemon=True)

    def ready(self) -> None:
        """The role does its work from now on."""
        self._tell("READY=1")
        if self._address and self._ping_every_s > 0:
            self._pings.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tell("STOPPING=1")
        self._ended.set()
        if self._pings.ident is not None:
            self._pings.join()

    def _ping(self) -> None:
        while True:
            if self._is_live():
                self._tell("WATCHDOG=1")
            if self._ended.wait(self._ping_every_s):
                return

    def _tell(self, word: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the null byte of a name that no file has.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
            speaking.sendto(word.encode(), address)
