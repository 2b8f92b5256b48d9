"""Follows changes of the code that a worker runs, for ``dev`` and ``worker --reload``; the package that watches is an extra."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any


def can_watch() -> bool:
    """Whether the package that watches files is there."""
    return importlib.util.find_spec("watchfiles") is not None


def changes_of(modules: Sequence[str], ignored: Sequence[Path] = ()) -> AsyncIterator[Any] | None:
    """Yields when Python files near the modules change, outside ``ignored``; None when there is nothing to watch."""
    from watchfiles import PythonFilter, awatch

    paths = sorted({str(path) for module in modules if (path := watched(module)) is not None})
    if not paths:
        return None
    return awatch(*paths, watch_filter=PythonFilter(ignore_paths=[str(path) for path in ignored]), recursive=True)


def watched(target: str) -> Path | None:
    """What to watch for a module or a file: its package's folder, or the folder the file is in; None if not found.

    Example: ``watched("hello.py") == Path.cwd()``
    """
    source = target if target.endswith(".py") else target.partition(":")[0]
    if source.endswith(".py"):
        parent = Path(source).absolute().parent
        return parent if parent.is_dir() else None
    name = source.partition(".")[0]
    for place in (Path.cwd(), *(Path(entry) for entry in sys.path if entry)):
        if (place / name).is_dir():
            return place / name
        if (place / f"{name}.py").is_file():
            return place
    return None
