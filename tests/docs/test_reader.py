"""The reader of pages itself: what it runs, what it passes over, and what it does not let through."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator import Client
from tests.docs import blocks
from tests.docs.blocks import Block, blocks_of
from tests.docs.desk import Desk
from tests.docs.reader import Reader
from tests.docs.terminal import Terminal

WRITTEN = """```python
from orchestrator import Workflow

idle = Workflow("idle").noop()
print(idle.name)
```
"""


@pytest.fixture
def desk(tmp_path: Path, fakeredis_url: str) -> Iterator[Desk]:
    """A desk without an installation."""
    with Client(fakeredis_url) as client, Terminal(tmp_path, {"PATH": os.environ["PATH"]}) as terminal:
        yield Desk(terminal, client, ModuleType("page"))


def read(desk: Desk, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    monkeypatch.setattr(blocks, "ROOT", desk.terminal.folder)
    page = desk.terminal.folder / "page.md"
    page.write_text(text)
    found = blocks_of(page)
    Reader(desk.terminal, desk.python, desk.judge).read(found)
    return found


def test_blocks_have_a_place_a_heading_a_title_and_a_reason(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    page = '# One\n\n```sh\n# no heading\n```\n\n## Two\n\n<!-- not run: costs money -->\n```python title="a.py"\n1 / 0\n```\n'
    first, second = read(desk, page, monkeypatch)
    assert (str(first), first.section, first.reason) == ("page.md:3", "One", "")
    assert (str(second), second.section, second.title, second.reason) == ("page.md:9", "Two", "a.py", "costs money")


def test_files_are_saved_commands_typed_and_outputs_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        '```json title="a.json"\n{"size": 3}\n```\n```sh\nkept=$(cat a.json)\n```\n'
        '```sh\necho "$kept"\n```\n```json title="output"\n{"size": "..."}\n```\n'
        'Then:\n```python\nprint("in 12 ms")\n```\n```text title="output"\nin ... ms\n```\n'
    )
    assert len(read(desk, page, monkeypatch)) == 6


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ('```sh\necho 1\n```\n```text title="output"\n2\n```\n', "page.md:4: it prints\n1"),
        ('```sh\necho "[1]"\n```\n```json title="output"\n[1, 2]\n```\n', "it prints"),
        ("```sh\nfalse\necho done\n```\n", "false"),
        ("```sh\necho $never_set\n```\n", "never_set"),
        ("```java\nmain();\n```\n", "nobody can run java"),
        ("```\nwords\n```\n", "a block without language"),
        ("```text\nwords\n```\n", "nobody can run text"),
        (
            WRITTEN + "```yaml\nname: idle\ntasks: [{name: NOOP, taskReferenceName: other, type: NOOP}]\n```\n",
            "not what the",
        ),
        ('```json\n{"name": "x", "tasks": [{"name": "a", "type": "NOOP"}]}\n```\n', "taskReferenceName"),
        ("```yaml\nname: hook\nverifier: NONE_AT_ALL\n```\n", "page.md:1"),
        ("```python\nraise ValueError('told')\n```\n", "told"),
    ],
)
def test_what_a_page_says_wrongly_is_noticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, page: str, complaint: str
) -> None:
    with pytest.raises(Exception, match=re.escape(complaint)):
        read(desk, page, monkeypatch)


def test_a_role_goes_on_beside_the_next_command_and_one_that_ends_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = desk.terminal.folder / "orchestrator"
    program.write_text(
        '#!/bin/sh\n[ "$1" = dev ] || exit 3\necho "HTTP http://127.0.0.1:17/api\nTry next"\nexec sleep 60\n'
    )
    program.chmod(0o755)
    desk.terminal.environment["PATH"] = f"{desk.terminal.folder}:{os.environ['PATH']}"
    page = '```sh\norchestrator dev\necho localhost:8080\n```\n```text title="output"\nlocalhost:17\n```\n'
    read(desk, page, monkeypatch)
    with pytest.raises(ChildProcessError, match="orchestrator worker"):
        read(desk, "```sh\norchestrator worker\n```\n", monkeypatch)
