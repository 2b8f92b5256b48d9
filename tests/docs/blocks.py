"""The code blocks of a page, in the one way in which our pages write them.

A block has a language, and a title when a reader is to save it (``title="hello.py"``) or when it shows what the block
before it gave (``title="output"``). One that no test can run stands under ``<!-- not run: the reason -->``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r'^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
OUTPUT = "output"


@dataclass(frozen=True)
class Block:
    """One code block; ``reason`` says why it is not run, ``section`` is the heading above it."""

    page: str
    line: int
    section: str
    language: str
    title: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_file(self) -> bool:
        """Whether a reader is to save it."""
        return self.title not in ("", OUTPUT)


def pages() -> list[Path]:
    """Every page that readers of the documentation see, but for the examples, which are tested as programs."""
    return sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    """How a page is called in tests: ``docs/search.md``."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=name_of(page),
            line=text.count("\n", 0, found.start()) + 1,
            section=_heading(text[: found.start()]),
            language=found["language"],
            title=found["title"] or "",
            text=found["text"],
            reason=found["reason"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def _heading(above: str) -> str:
    outside = FENCE.sub("", above)
    return next((line.lstrip("# ") for line in reversed(outside.splitlines()) if line.startswith("#")), "")
