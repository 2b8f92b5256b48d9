"""From targets to tasks: what is found, and what is refused with which words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import DefinitionInvalid, InvalidRequest
from orchestrator.task import task
from orchestrator_workers.registry import load_task, register

TASKS = """
from orchestrator.task import task
from orchestrator.workflow import Workflow

@task
async def greet(name: str) -> str:
    return name

@task(name="add_up", pool="process")
def add(left: int, right: int) -> int:
    return left + right

several = [greet]
flow = Workflow("flow").then(add, left=1, right=2)
number = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str = TASKS) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_file_is_imported_and_its_tasks_are_found_by_name(folder: Path) -> None:
    path = write(folder, "shop_tasks.py")
    found = register(modules=[path])
    assert sorted(found) == ["add_up", "greet"]
    assert (found["add_up"].target, found["add_up"].attribute) == (path, "add")
    assert load_task(path, "add") is found["add_up"].task


def test_a_module_is_found_from_the_working_folder(folder: Path) -> None:
    write(folder, "shoppkg/__init__.py", "")
    write(folder, "shoppkg/jobs.py")
    assert sorted(register(modules=["shoppkg.jobs"])) == ["add_up", "greet"]


@pytest.mark.parametrize(("attribute", "names"), [("greet", ["greet"]), ("several", ["greet"]), ("flow", ["add_up"])])
def test_an_attribute_chooses_one_task_a_list_or_the_tasks_of_a_workflow(
    folder: Path, attribute: str, names: list[str]
) -> None:
    assert sorted(register(modules=[f"{write(folder, 'chosen_tasks.py')}:{attribute}"])) == names


@pytest.mark.parametrize(("attribute", "words"), [("number", "is a int"), ("missing", "has no missing")])
def test_an_attribute_that_is_no_task_is_refused(folder: Path, attribute: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        register(modules=[f"{write(folder, 'odd_tasks.py')}:{attribute}"])


def test_a_module_that_does_not_import_is_refused_with_the_line_at_fault(folder: Path) -> None:
    path = write(folder, "broken_tasks.py", "import os\n\nos.no_such_thing()\n")
    with pytest.raises(InvalidRequest) as refused:
        register(modules=[path])
    assert "broken_tasks.py does not import: AttributeError" in str(refused.value)
    assert "broken_tasks.py:3: os.no_such_thing()" in str(refused.value)


def test_a_module_with_a_syntax_error_is_refused_with_its_line(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"SyntaxError.*line 2"):
        register(modules=[write(folder, "typo_tasks.py", "x = 1\ndef f(:\n")])


def test_a_module_that_does_not_exist_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="module no_such_tasks does not import: ModuleNotFoundError"):
        register(modules=["no_such_tasks"])
    with pytest.raises(InvalidRequest, match=r"nowhere\.py does not import: FileNotFoundError"):
        register(modules=["nowhere.py"])


def test_a_module_without_tasks_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no task"):
        register(modules=[write(folder, "empty_tasks.py", "x = 1\n")])


def test_two_tasks_of_one_name_are_refused_naming_both_places(folder: Path) -> None:
    first = write(folder, "first_tasks.py")
    second = write(folder, "second_tasks.py")
    with pytest.raises(InvalidRequest, match=r"named greet: first_tasks\.greet .* and second_tasks\.greet"):
        register(modules=[first, second])


def test_two_tasks_of_one_name_in_one_module_are_refused(folder: Path) -> None:
    twice = TASKS + "\n@task(name='greet')\ndef other() -> None: ...\n"
    with pytest.raises((InvalidRequest, DefinitionInvalid), match="greet"):
        register(modules=[write(folder, "twice_tasks.py", twice)])


def test_the_same_task_found_twice_is_one_task(folder: Path) -> None:
    path = write(folder, "same_tasks.py")
    assert sorted(register(modules=[path, f"{path}:greet"])) == ["add_up", "greet"]


def test_two_files_of_one_name_are_two_modules(folder: Path) -> None:
    here = write(folder, "jobs.py", "from orchestrator.task import task\n@task\ndef here() -> None: ...\n")
    there = write(folder, "sub/jobs.py", "from orchestrator.task import task\n@task\ndef there() -> None: ...\n")
    assert sorted(register(modules=[here, there])) == ["here", "there"]


def test_a_signature_that_no_input_can_fill_is_refused_at_the_start() -> None:
    @task
    def spreads(*numbers: int) -> None: ...

    with pytest.raises(InvalidRequest, match=r"\*numbers"):
        register([spreads])
