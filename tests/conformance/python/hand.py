"""Our end of the SDK's hand: ``sdk.workflow.start_workflow(...)`` in a test is that call in the SDK's own process.

What comes back has the attributes that the SDK's model has; what the SDK raised is raised as ``Raised``. Used by the
tests of this folder through the fixture ``sdk``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.conftest import end_group
from tests.conformance.python.calls import Calls

SCRIPT = Path(__file__).with_name("sdk_hand.py")


class Raised(Exception):
    """What the SDK raised: the name of the class, its text, and of an ``ApiException`` the status and the message."""

    def __init__(self, kind: str, text: str, status: int | None, message: str | None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.status, self.message = kind, text, status, message


class Model:
    """An instance of one of the SDK's models that came back."""

    def __init__(self, kind: str, attributes: dict[str, Any]) -> None:
        self._kind = kind
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the SDK's {self._kind} has no {name!r}")

    def __repr__(self) -> str:
        given = {name: value for name, value in self.__dict__.items() if value is not None and name != "_kind"}
        return f"{self._kind}({given})"


class Given(NamedTuple):
    """An instance of one of the SDK's models that is to be made there."""

    kind: str
    fields: dict[str, Any]


class Models:
    """Makes models of the SDK: ``models.TaskDef(name="greet")``."""

    def __getattr__(self, kind: str) -> Any:
        return lambda **fields: Given(kind, fields)


models = Models()


class Sdk:
    """The SDK in a process of its own. Example: ``sdk.metadata.get_task_def("greet").retry_count``"""

    def __init__(self, python: Path, url: str, folder: Path, calls: Calls) -> None:
        self.url = url
        self._calls = calls
        with (folder / "sdk.log").open("w") as said:
            self._process = subprocess.Popen(
                [python, SCRIPT, url],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )

    def __getattr__(self, client: str) -> Any:
        return _Client(self, client)

    def surface(self) -> tuple[dict[str, list[str]], list[str]]:
        """The public methods of each client, and the classes of tasks."""
        found = self._ask("surface", "", (), {})
        return found["methods"], found["tasks"]

    def call(self, client: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method there, and give or raise what it gave or raised; it is noted which of both."""
        try:
            gave = self._ask(client, method, args, kwargs)
        except Raised:
            self._calls.note("raised", f"{client}.{method}")
            raise
        self._calls.note("returned", f"{client}.{method}")
        return gave

    def _ask(self, client: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asked = {"client": client, "method": method, "args": _told(args), "kwargs": _told(kwargs)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        while not (line := self._process.stdout.readline()).startswith("{"):
            assert line, "the SDK's process has ended"  # some of the SDK's modules print
        answer = json.loads(line, object_hook=_model)
        if "raised" in answer:
            raise Raised(answer["raised"], answer["text"], answer["status"], answer["message"])
        return answer["gave"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        end_group(self._process)


class _Client:
    def __init__(self, sdk: Sdk, name: str) -> None:
        self._sdk, self._name = sdk, name

    def __getattr__(self, method: str) -> Any:
        return lambda *args, **kwargs: self._sdk.call(self._name, method, args, kwargs)


def _told(value: Any) -> Any:
    if isinstance(value, Given):
        return {"$model": value.kind, "given": _told(value.fields)}
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(one) for one in value]
    return value


def _model(read: dict[str, Any]) -> Any:
    return Model(read["$model"], read["attributes"]) if "$model" in read else read
