"""Somebody who reads a page with a terminal beside it and does what each block says, in order, in one folder.

Files are saved, commands typed, programs run, all programs of a page in one namespace. A block with the title ``output``
is compared with what the block before it printed; dots stand for what differs from run to run.
"""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.docs.blocks import Block
from tests.docs.terminal import Terminal

ELLIPSIS = "..."


class Reader:
    """Does what pages say. ``python`` runs a program and gives what it prints, ``judge`` looks at a definition.

    Example: ``Reader(terminal, python, judge).read(blocks_of(ROOT / "docs/search.md"))``
    """

    def __init__(
        self, terminal: Terminal, python: Callable[[Block], str], judge: Callable[[Block], None] = lambda block: None
    ) -> None:
        self._terminal = terminal
        self._python = python
        self._judge = judge
        self._printed = ""

    def read(self, blocks: Iterable[Block]) -> None:
        """Do what the blocks say, but for those that are marked as not run."""
        for block in blocks:
            if not block.reason:
                self._do(block)

    def _do(self, block: Block) -> None:
        if block.is_file:
            path = self._terminal.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        match block.language, block.title:
            case ("text" | "json", "output"):
                _compare(block, self._printed)
            case ("python", _):
                self._printed = self._python(block)
            case ("sh", _):
                self._printed = self._terminal.run(block.text)
            case ("json" | "yaml", _):
                self._judge(block)
            case _:
                raise AssertionError(f"{block}: nobody can run {block.language or 'a block without language'}; mark it")


def _compare(block: Block, printed: str) -> None:
    if block.language == "json":
        assert _alike(json.loads(block.text), json.loads(printed)), f"{block}: it prints\n{printed}"
    else:
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(block.text, printed, flags), f"{block}: it prints\n{printed}"


def _alike(shown: Any, found: Any) -> bool:
    """Whether values are equal; a text of dots stands for any value."""
    if shown == ELLIPSIS:
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        return shown.keys() == found.keys() and all(_alike(shown[key], found[key]) for key in shown)
    if isinstance(shown, list) and isinstance(found, list):
        return len(shown) == len(found) and all(map(_alike, shown, found))
    return bool(shown == found)
