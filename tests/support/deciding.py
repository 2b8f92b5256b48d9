"""A decider in a thread, for tests of what works beside one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.engine.process import DeciderProcess
from orchestrator.settings import Settings


@contextmanager
def deciding(settings: Settings) -> Iterator[Settings]:
    """Decide what happens in an installation until the block ends; gives its settings."""
    decider, ready = DeciderProcess(settings), threading.Event()
    thread = threading.Thread(target=decider.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    yield settings
    decider.stop()
    thread.join(10)
