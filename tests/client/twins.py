"""Makes the faces for asyncio out of the blocking ones, so that a verb is written once: ``make faces`` writes the files.

Whatever asks the session is awaited, and so is every method that calls such a one; the examples in docstrings follow. What is
said differently is in the tables here. ``test_faces`` compares the files with what this makes.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "orchestrator" / "client"
TWINS = {"handles": "async_handles", "blocking": "asynchronous"}

ASKING = {"run", "close", "look", "execute", "__enter__"}
"""Methods that are awaited by themselves: those of sessions, transactions and pipelines."""

NAMES = {
    "Client": "AsyncClient",
    "WorkflowHandle": "AsyncWorkflowHandle",
    "TaskHandle": "AsyncTaskHandle",
    "Session": "AwaitedSession",
    "blocking_session": "awaited_session",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}
TEXTS = {
    "from orchestrator.client.handles import": "from orchestrator.client.async_handles import",
    "import Pipeline": "import AsyncPipeline as Pipeline",
    "is_async=False": "is_async=True",
    "a pipeline of redis-py:": "a pipeline of redis.asyncio:",
}
DOCSTRINGS = {
    "handles": '''"""The handles of ``handles`` for asyncio. Made of them by ``make faces``: change them there."""''',
    "blocking": '''"""``AsyncClient``: ``blocking`` for asyncio. Made of it by ``make faces``: change it there."""''',
    "Client": '''"""``Client`` for asyncio: same methods, same arguments, awaited where they ask for something.

    It may be made anywhere, and belongs to the event loop it is used in: when that has ended or the process was forked, the
    next one may use it, with connections of its own. While it goes on, another loop is refused (``InvalidRequest``).
    Example: ``async with AsyncClient() as client: await client.execute_workflow(hello, name="Ada")``
    """''',
}
_EXAMPLE = re.compile(r"(Example: ``)(.+?)(``)", re.DOTALL)

Edits = list[tuple[int, int, str]]  # where, instead of how many characters, what


def made() -> dict[Path, str]:
    """The text of every file that is made, by its path."""
    sources = {name: (FOLDER / f"{name}.py").read_text() for name in TWINS}
    assert all(text.isascii() for text in sources.values()), "places in the text are counted in bytes"
    awaited = _awaited([ast.parse(text) for text in sources.values()])
    return {FOLDER / f"{TWINS[name]}.py": _formatted(_twin(name, text, awaited)) for name, text in sources.items()}


def _awaited(trees: list[ast.Module]) -> set[str]:
    """The names of all methods that are awaited."""
    methods = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found = set(ASKING)
    while True:
        more = {method.name for method in methods if any(_calls(method, found))} - found
        if not more:
            return found
        found |= more


def _calls(tree: ast.AST, awaited: set[str]) -> Iterator[ast.Call]:
    """The calls of awaited methods; those of ``self._calls`` only make plans."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in awaited and ast.unparse(node.func.value) != "self._calls":
            yield node


def _twin(name: str, text: str, awaited: set[str]) -> str:
    tree, start = ast.parse(text), _starts(text)
    edits = _awaits(text, tree, awaited)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in awaited:
            edits.append((start[node.lineno - 1] + node.col_offset, 0, "async "))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            said = node.body[0]
            at, end = start[said.lineno - 1] + said.col_offset, _end(said, start)
            known = DOCSTRINGS.get(name if isinstance(node, ast.Module) else node.name)
            edits.append((at, end - at, known or _renamed(_EXAMPLE.sub(lambda m: _example(m, awaited), text[at:end]))))
    return _edited(text, edits)


def _edited(text: str, edits: Edits) -> str:
    """With the edits done; what is between them is renamed."""
    parts, done = [], 0
    for at, length, new in sorted(edits, key=lambda edit: edit[0]):
        parts += [_renamed(text[done:at]), new]
        done = at + length
    return "".join([*parts, _renamed(text[done:])])


def _renamed(text: str) -> str:
    for old, new in TEXTS.items():
        text = text.replace(old, new)
    return re.sub(r"\b\w+\b", lambda word: NAMES.get(word[0], word[0]), text)


def _example(match: re.Match[str], awaited: set[str]) -> str:
    code = re.sub(r"\n\s+", " ", match[2])
    tree = ast.parse(code)
    return match[1] + _edited(code, _awaits(code, tree, awaited)) + match[3]


def _awaits(text: str, tree: ast.Module, awaited: set[str]) -> Edits:
    start = _starts(text)
    looked_into = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Subscript)}
    edits: Edits = []
    for call in _calls(tree, awaited):
        is_within = id(call) in looked_into
        edits.append((start[call.lineno - 1] + call.col_offset, 0, "(await " if is_within else "await "))
        if is_within:
            edits.append((_end(call, start), 0, ")"))
    return edits


def _end(node: ast.expr | ast.stmt, start: list[int]) -> int:
    """Where a node ends."""
    return start[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)


def _starts(text: str) -> list[int]:
    """Where each line begins."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _formatted(text: str) -> str:
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format"]):
        run = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(FOLDER / "x.py"), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True, timeout=30).stdout
    return text


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
