"""The house keeps its own rules: what a machine can check of CONTRIBUTING.md is checked here, not in reviews.

Reads the files of the project, runs nothing of it but two short child processes. A rule that is wrong is changed here
and there in the same commit; it is never switched off for one file.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("orchestrator", "workers", "cli")
PYTHON_FOLDERS = (*PRODUCT, "tests", "examples", "bench")
PATH_OF_PACKAGES = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))

# Written in halves, so that this file does not break the rules it states.
MARKERS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:wo" r"rk|ro" r"ot|t" r"mp|ho" r"me)/")

VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
IMPURE_CALLS = {
    "time.time", "time.monotonic", "time.perf_counter", "time.time_ns", "time.monotonic_ns",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now", "datetime.date.today",
    "uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getenv", "os.environ.get",
    "open", "print", "input",
}  # fmt: skip
WING = (
    "workflow", "steps", "steering", "forking", "serving", "placing", "step_options",
    "task", "schemas", "binding", "context", "references", "graph",
)  # fmt: skip
WING_MAY_IMPORT = {f"orchestrator.{name}" for name in (*WING, "model", "errors", "codec", "ids")}


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is, or would be, under version control; outside a checkout, every file that is not hidden."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True
    )
    if listing.returncode == 0:
        paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(p.startswith(".") for p in path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in paths if path.is_file()))


def files(suffix: str, *folders: str) -> list[Path]:
    """Project files with that suffix, below one of the folders when any is named."""
    return [
        path
        for path in project_files()
        if path.suffix == suffix and (not folders or path.relative_to(ROOT).parts[0] in folders)
    ]


def text_files() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path, content.decode()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """The nodes of bare strings: documentation, which may name what code may not."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_the_project_has_files_to_check() -> None:
    assert Path(__file__).resolve() in project_files()
    assert files(".py", "orchestrator")


def test_nothing_promises_later_work() -> None:
    found = [
        place(path, number)
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if MARKERS.search(line)
    ]
    assert found == []


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{place(path, number)}: {line.strip()}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert found == []


def test_no_module_is_named_after_its_leftovers() -> None:
    modules = [path.relative_to(ROOT) for path in files(".py")]
    assert [str(path) for path in modules if {path.stem, *path.parts[:-1]} & VAGUE_NAMES] == []


def test_every_module_says_what_it_is_for() -> None:
    modules = files(".py", *PYTHON_FOLDERS)
    assert [str(path.relative_to(ROOT)) for path in modules if not ast.get_docstring(parsed(path))] == []


def test_the_product_does_not_print() -> None:
    found = [
        place(path, call.lineno)
        for path in files(".py", "orchestrator", "workers")
        for name, call in calls(path)
        if name == "print"
    ]
    assert found == []


def test_core_and_model_ask_nothing_of_the_machine() -> None:
    found = [
        f"{place(path, call.lineno)}: {name}"
        for path in files(".py", "orchestrator")
        if path.relative_to(ROOT).parts[1] in ("core", "model")
        for name, call in calls(path)
        if name in IMPURE_CALLS or name.startswith("random.")
    ]
    assert found == []


def test_the_builder_imports_only_words_and_data() -> None:
    found = [
        f"{place(path, 1)}: {name}"
        for path in files(".py", "orchestrator")
        if path.relative_to(ROOT).parts[1].removesuffix(".py") in WING
        for name in imports(path)
        if not within(name, WING_MAY_IMPORT)
    ]
    assert found == []


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports when it runs; `from orchestrator import x` counts as `orchestrator.x`."""
    used: set[str] = set()
    tree = parsed(path)
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in used if name.split(".")[0].startswith("orchestrator")}


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_keys_are_written_in_one_room_only() -> None:
    key = re.compile(r"^orc:|\borc:\{")
    found = []
    for path in files(".py", *PRODUCT):
        if path.relative_to(ROOT).parts == ("orchestrator", "store", "keys.py"):
            continue
        documentation = docstrings(parsed(path))
        found += [
            place(path, node.lineno)
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation
            if key.search(node.value)
        ]
    found += [str(path.relative_to(ROOT)) for path in files(".lua") if re.search(r"[\"']orc:", path.read_text())]
    assert found == []


def test_every_script_begins_with_its_contract() -> None:
    scripts = [path for path in files(".lua", "orchestrator") if path.parent.name != "include"]
    if not scripts:
        pytest.skip("there are no Lua files yet")
    found = []
    for path in scripts:
        first, *rest = path.read_text().splitlines()
        header = "\n".join(line for line in leading_comment(rest))
        if not first.startswith("#!lua") or "KEYS" not in header or "ARGV" not in header:
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def leading_comment(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("--"):
            return
        yield line


def test_tests_never_sleep_but_in_eventually() -> None:
    found = [
        place(path, call.lineno)
        for path in files(".py", "tests")
        if path.name != "eventually.py"
        for name, call in calls(path)
        if name.split(".")[-1] == "sleep" and not yields_only(call)
    ]
    assert found == []


def yields_only(call: ast.Call) -> bool:
    """`sleep(0)` waits for nothing: it lets the other tasks of the event loop run."""
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds the packages of this checkout."""
    environment = {**os.environ, "PYTHONPATH": PATH_OF_PACKAGES}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=50
    )


def test_importing_the_package_loads_no_redis_and_no_server() -> None:
    code = "import sys, orchestrator; print(*{'redis', 'fakeredis', 'starlette', 'uvicorn', 'rq'} & set(sys.modules))"
    run = python(code)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "", "")


def test_no_room_imports_from_a_floor_above_it() -> None:
    run = python(
        "import sys; sys.argv = ['lint-imports', '--no-cache']; import importlinter.cli as c; c.lint_imports_command()"
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_version_is_the_same_in_the_package_and_in_its_metadata() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run = python("import orchestrator; print(orchestrator.__version__)")
    assert run.stdout.strip() == metadata["project"]["version"], run.stderr
