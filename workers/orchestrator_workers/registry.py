"""From module names and files to the tasks and middlewares in them.

A target is ``pkg.module``, ``file.py`` or either of them with ``:name`` for one task, a list of tasks or a workflow.
Two different tasks of one name are refused, because a queue has one meaning. Called by the worker at its start, and by
the children of a process pool, which find a function by its import path and are never sent code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from orchestrator.errors import InvalidRequest, MissingExtra
from orchestrator.task import Task, tasks_in
from orchestrator_workers.middleware import Middleware, name_of


class PlacedMiddleware(NamedTuple):
    """A middleware, and where another process finds it: a module name or file, and the attribute in it, "" if nowhere."""

    function: Middleware
    target: str
    attribute: str


class RegisteredTask(NamedTuple):
    """A task with what is put around it, and where another process finds it: a module name or file, and the attribute."""

    task: Task[..., Any]
    target: str
    attribute: str
    middleware: tuple[PlacedMiddleware, ...] = ()

    @property
    def name(self) -> str:
        """The task's name, which is also its queue's."""
        return self.task.name


def register(
    tasks: Iterable[Task[..., Any]] = (), modules: Iterable[str] = (), middleware: Iterable[Middleware | str] = ()
) -> dict[str, RegisteredTask]:
    """All given tasks and all tasks of the given modules, by name, within these middlewares.

    A middleware is given as it is or as ``pkg.module:name`` or ``file.py:name``. Raises ``InvalidRequest`` when there
    is no task, a module does not import or holds none, two tasks share a name, or another process, where tasks of the pools
    ``process`` and ``rq`` run, could not import a task or a middleware.
    Example: ``register(modules=["shop.tasks", "extra.py:refund"])["refund"]``
    """
    around = tuple(_placed(one) for one in middleware)
    found: dict[str, RegisteredTask] = {}
    for task in tasks:
        _add(found, _located(task, str(getattr(task.function, "__module__", ""))))
    for target in modules:
        source, _, attribute = _split(target)
        module = load_module(source)
        for task in _chosen(module, target, attribute):
            _add(found, _located(task, source))
    if not found:
        raise InvalidRequest("a worker needs tasks: give it tasks=[...] or modules=[...]")
    return {name: _within(one, around) for name, one in found.items()} if around else found


def load_module(source: str) -> ModuleType:
    """The module of that name or file, imported once per process.

    Raises ``InvalidRequest`` with the line at fault when it does not import.
    """
    try:
        return _from_file(source) if source.endswith(".py") else _from_name(source)
    except MissingExtra:
        raise  # it says what to install
    except Exception as error:
        raise InvalidRequest(f"module {source} does not import: {_where(error)}") from error


def load_task(target: str, attribute: str) -> Task[..., Any]:
    """The task that ``attribute`` names in ``target``. Raises ``InvalidRequest`` when there is none."""
    found = getattr(load_module(target), attribute, None)
    if not isinstance(found, Task):
        raise InvalidRequest(f"{target} has no task {attribute}; a process-pool task must be defined at module level")
    return found


def load_attribute(target: str, attribute: str) -> Any:
    """What ``attribute`` names in ``target``. Raises ``InvalidRequest`` when there is nothing."""
    module = load_module(target)
    if not hasattr(module, attribute):
        raise InvalidRequest(f"{target}: the module has no {attribute}")
    return getattr(module, attribute)


def attribute_of(value: object, target: str) -> str | None:
    """Under which name the module ``target`` holds this very object, None if it does not."""
    module = sys.modules.get(target) or (load_module(target) if target else None)
    found = vars(module).items() if module is not None else ()
    return next((name for name, candidate in found if candidate is value), None)


def _split(target: str) -> tuple[str, str, str]:
    return target.rpartition(":") if ":" in target and not target.endswith(".py") else (target, "", "")


def _from_name(name: str) -> ModuleType:
    if name in sys.modules:  # also finds __main__, which cannot be imported by name
        return sys.modules[name]
    if os.getcwd() not in sys.path:  # as `python -m` has it; a console script does not
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _from_file(source: str) -> ModuleType:
    path = os.path.abspath(source)
    name = os.path.splitext(os.path.basename(path))[0]
    present = sys.modules.get(name)
    if present is not None and getattr(present, "__file__", None) != path:
        name = f"{name}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        present = sys.modules.get(name)
    if present is not None:
        return present
    folder = os.path.dirname(path)
    if folder not in sys.path:  # as `python file.py` has it, so that the file can import its neighbours
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: a neighbour that imports it gets this one, not a second copy
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _chosen(module: ModuleType, target: str, attribute: str) -> Sequence[Task[..., Any]]:
    if not attribute:
        tasks = tasks_in(module)
        if not tasks:
            raise InvalidRequest(f"{target} holds no task; decorate a function of it with @task")
        return tasks
    value = load_attribute(target.rpartition(":")[0], attribute)
    if isinstance(value, Task):
        return [value]
    several = value if isinstance(value, list | tuple) else getattr(value, "tasks", None)
    if isinstance(several, list | tuple) and several and all(isinstance(item, Task) for item in several):
        return list(several)
    raise InvalidRequest(f"{target} is a {type(value).__name__}, not a task, a list of tasks or a workflow of tasks")


def _located(task: Task[..., Any], target: str) -> RegisteredTask:
    if task.pool == "rq" and find_spec("rq") is None:
        raise MissingExtra(f"the pool of task {task.name}, rq,", "rq")
    if task.pool not in ("process", "rq"):
        return RegisteredTask(task, target, "")
    for source in (target, str(getattr(task.function, "__module__", ""))):
        attribute = attribute_of(task, source)
        if attribute is not None:
            return RegisteredTask(task, source, attribute)
    raise InvalidRequest(
        f"task {task.name} has pool={task.pool!r} but is no attribute of module {target}: another process must be able to "
        "import it, so define it at module level"
    )


def _placed(middleware: Middleware | str) -> PlacedMiddleware:
    if isinstance(middleware, str):
        target, _, attribute = _split(middleware)
        if not attribute:
            raise InvalidRequest(f"middleware {middleware}: say where it is as pkg.module:name or file.py:name")
        found = PlacedMiddleware(load_attribute(target, attribute), target, attribute)
    else:
        target = str(getattr(middleware, "__module__", ""))
        found = PlacedMiddleware(middleware, target, attribute_of(middleware, target) or "")
    if not (inspect.isgeneratorfunction(found.function) or inspect.isasyncgenfunction(found.function)):
        raise InvalidRequest(
            f"{name_of(found.function)} is no middleware: that is a generator function of (context, input) with one yield"
        )
    return found


def _within(registered: RegisteredTask, around: tuple[PlacedMiddleware, ...]) -> RegisteredTask:
    for one in around if registered.attribute else ():
        if not one.attribute:
            raise InvalidRequest(
                f"task {registered.name} runs in another process, which must be able to import the middleware "
                f"{name_of(one.function)}: define it at module level; module {one.target} holds no such thing"
            )
    return registered._replace(middleware=around)


def _add(found: dict[str, RegisteredTask], new: RegisteredTask) -> None:
    _ = new.task.binding  # a signature that no input can fill is refused now, not at the first run
    present = found.setdefault(new.name, new)
    if present.task is not new.task:
        raise InvalidRequest(
            f"two tasks are named {new.name}: {present.task.location} and {new.task.location}; "
            "rename one of them with @task(name=...)"
        )


def _where(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:  # its own frames are the importer's
        return text if str(error.lineno) in str(error) else f"{text} ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    if not frames or frames[-1].filename == __file__:
        return text
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})"
