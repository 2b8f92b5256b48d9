"""``Workflow``: a definition written in Python, sentence by sentence, or taken from JSON or YAML; the same object.

A workflow is data. The verbs (see ``steps``) append definition tasks, ``definition()`` is what gets registered, and
whatever a JSON definition can say survives the way in and out, also what no verb here says. This room never starts,
registers or sends anything; the client does, with ``definition()`` and ``tasks``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from orchestrator import graph
from orchestrator.errors import InvalidRequest, MissingExtra, Problem
from orchestrator.model import wire
from orchestrator.model.definitions import (
    RateLimitConfig,
    TaskDef,
    WorkflowDef,
    WorkflowTimeoutPolicy,
    walk,
)
from orchestrator.model.validation import validate_workflow_def
from orchestrator.references import Reference, Step, render
from orchestrator.schemas import SchemaLike, schema_def
from orchestrator.step_options import Cache
from orchestrator.steps import Branch, BranchLike, Steps
from orchestrator.task import Task, unique_tasks

__all__ = ["Branch", "BranchLike", "Reference", "Step", "Workflow"]

# PyYAML writes these bare and reads them back as a plain line break; where one occurs, all beyond ASCII is escaped.
_YAML_LINE_BREAKS = frozenset("\x85\u2028\u2029")


class Workflow(Steps):
    """A named, versioned graph of steps.

    ``timeout_s`` 0 is none; a time-out ends the workflow unless ``timeout_policy="ALERT_ONLY"``. ``on_failure`` is the
    workflow (or its name) that is started when this one fails. ``inputs`` documents the input's keys,
    ``input_template`` fills those a caller left out, ``variables`` are the initial ones, ``owner`` an e-mail address.
    A start whose input breaks ``input_schema`` (a JSON Schema, a dataclass, a registered name) is refused and an output
    that breaks ``output_schema`` makes the workflow FAILED, unless ``enforce_schema=False``. ``rate_limit`` is
    how many executions run at once for each value of a key, ``cache`` reuses earlier outputs, ``masked_fields`` are
    hidden from whoever looks, ``listener`` is the sink that is told of the end.
    Example: ``hello = Workflow("hello").then(greet, name="${workflow.input.name}")``
    """

    _is_branch = False

    def __init__(
        self,
        name: str,
        version: int = 1,
        *,
        description: str | None = None,
        timeout_s: int = 0,
        timeout_policy: WorkflowTimeoutPolicy | Literal["TIME_OUT_WF", "ALERT_ONLY"] | None = None,
        on_failure: Workflow | str | None = None,
        on_failure_version: int | None = None,
        inputs: Sequence[str] = (),
        input_template: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        restartable: bool = True,
        metadata: Mapping[str, Any] | None = None,
        owner: str | None = None,
        input_schema: SchemaLike | None = None,
        output_schema: SchemaLike | None = None,
        enforce_schema: bool = True,
        rate_limit: RateLimitConfig | None = None,
        cache: Cache | None = None,
        masked_fields: Sequence[str] = (),
        listener: str | None = None,
    ) -> None:
        super().__init__()
        if timeout_s != int(timeout_s):
            raise InvalidRequest(f"workflow {name}: timeout_s={timeout_s} must be a whole number of seconds")
        self._frame = WorkflowDef(
            name=name,
            version=version,
            description=description,
            timeout_seconds=int(timeout_s),
            timeout_policy=_timeout_policy(name, timeout_policy, timeout_s),
            failure_workflow=on_failure.name if isinstance(on_failure, Workflow) else on_failure,
            failure_workflow_version=on_failure_version,
            input_parameters=list(inputs),
            input_template=render(dict(input_template or {}), "input_template"),
            variables=render(dict(variables or {}), "variables"),
            restartable=restartable,
            metadata=render(dict(metadata or {}), "metadata"),
            owner_email=owner,
            input_schema=schema_def(input_schema, f"{name}_input"),
            output_schema=schema_def(output_schema, f"{name}_output"),
            enforce_schema=enforce_schema,
            rate_limit_config=rate_limit,
            cache_config=cache.config() if cache else None,
            masked_fields=list(masked_fields),
            workflow_status_listener_enabled=listener is not None,
            workflow_status_listener_sink=listener,
        )

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name; together with the version its identity."""
        return self._frame.name

    @property
    def version(self) -> int:
        """Its version, from 1."""
        return self._frame.version

    @property
    def input(self) -> Reference:
        """What the workflow will be started with. Example: ``order.input.amount`` is ``${workflow.input.amount}``"""
        return Reference("workflow.input")

    @property
    def variables(self) -> Reference:
        """The variables that ``set`` changes. Example: ``order.variables.total``"""
        return Reference("workflow.variables")

    @property
    def tasks(self) -> list[Task[..., Any]]:
        """The task objects its steps use, each once, in order; steps given by name are not among them.

        Raises ``DefinitionInvalid`` when two different functions claim one name.
        """
        return unique_tasks(super().tasks, f"workflow {self.name}")

    def output(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """Say what the workflow gives back; without it, that is the output of its last step.

        Example: ``order.output(id=charge.output["id"], total=order.variables.total)``
        """
        output = {**self._frame.output_parameters, **render({**(mapping or {}), **values}, "output")}
        self._frame = msgspec.structs.replace(self._frame, output_parameters=output)
        return self

    # --- the definition ---------------------------------------------------------------------------------------------

    def definition(self) -> WorkflowDef:
        """The definition as it stands now; further verbs do not change the one returned."""
        self._require_used()
        return msgspec.structs.replace(self._frame, tasks=list(self._nodes))

    def validate(self) -> list[Problem]:
        """Everything that would make registering it fail, empty when it is fine; it is never raised here.

        Example: ``assert not hello.validate()``
        """
        return validate_workflow_def(self.definition())

    def graph(self, form: Literal["mermaid", "text"] = "mermaid") -> str:
        """The workflow as a drawing: a Mermaid flowchart, or an indented tree for a terminal.

        Raises ``InvalidRequest`` for another ``form``. Example: ``print(order.graph("text"))``
        """
        if form not in ("mermaid", "text"):
            raise InvalidRequest(f"graph form {form!r} is unknown: use 'mermaid' or 'text'")
        return graph.mermaid(self.definition()) if form == "mermaid" else graph.text_tree(self.definition())

    # --- out and in -------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The definition as Conductor's JSON object."""
        return wire.workflow_def_to_dict(self.definition())

    def to_json(self, indent: int | None = 2) -> str:
        """The definition as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def to_yaml(self) -> str:
        """The definition as YAML text. Raises ``MissingExtra`` without PyYAML."""
        return _yaml_of(self.to_dict())

    @classmethod
    def from_definition(cls, definition: WorkflowDef) -> Self:
        """A workflow that continues ``definition``; nothing in it is lost or checked."""
        workflow = cls(definition.name, definition.version)
        workflow._frame = msgspec.structs.replace(definition, tasks=[])
        workflow._nodes = list(definition.tasks)
        refs = [task.task_reference_name for _, task in walk(definition)]
        workflow._steps = {ref: Step(ref, stem=ref, fixed=True) for ref in refs}
        return workflow

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A workflow from Conductor's JSON object. Raises ``DefinitionInvalid`` with every problem of it."""
        return cls.from_definition(wire.workflow_def_from_dict(dict(data)))

    @classmethod
    def from_json(cls, source: str | bytes | Path) -> Self:
        """A workflow from JSON text, or from a file when given a ``Path`` or text that is a path.

        Raises ``DefinitionInvalid`` with every problem. Example: ``Workflow.from_json("definitions/order.json")``
        """
        return cls._from_source(source, ".json")

    @classmethod
    def from_yaml(cls, source: str | bytes | Path) -> Self:
        """Like ``from_json``, from YAML. Raises ``MissingExtra`` without PyYAML."""
        return cls._from_source(source, ".yaml")

    @classmethod
    def _from_source(cls, source: str | bytes | Path, suffix: str) -> Self:
        text, filename = _text_of(source, suffix)
        found: list[WorkflowDef | TaskDef] = wire.parse_definitions(text, filename)
        workflows = [definition for definition in found if isinstance(definition, WorkflowDef)]
        if len(workflows) != 1:
            names = ", ".join(definition.name for definition in workflows) or "none"
            raise InvalidRequest(f"{filename} must hold exactly one workflow; it holds {names}")
        return cls.from_definition(workflows[0])

    def __repr__(self) -> str:
        return f"<workflow {self.name} version {self.version}, {len(self._steps)} steps>"


def _yaml_of(data: dict[str, Any]) -> str:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("YAML definitions", "cli") from None

    class Dumper(yaml.SafeDumper):
        """Writes text that begins like a number in quotes, since versions of YAML disagree on what a number is."""

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "'" if text.startswith(tuple("+-.0123456789")) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, quoted)
    is_readable = _YAML_LINE_BREAKS.isdisjoint(json.dumps(data, ensure_ascii=False))
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=is_readable)
    return text


def _timeout_policy(name: str, policy: str | None, timeout_s: float) -> WorkflowTimeoutPolicy:
    # The wire default, ALERT_ONLY, would make Workflow("x", timeout_s=60) never time out.
    if policy is None:
        return WorkflowTimeoutPolicy.TIME_OUT_WF if timeout_s > 0 else WorkflowTimeoutPolicy.ALERT_ONLY
    try:
        return WorkflowTimeoutPolicy(policy)
    except ValueError:
        names = ", ".join(WorkflowTimeoutPolicy)
        raise InvalidRequest(f"workflow {name}: timeout_policy={policy!r} is unknown: use one of {names}") from None


def _text_of(source: str | bytes | Path, suffix: str) -> tuple[str | bytes, str]:
    """The text and the name to report it under. One line that ends like a definition file's name is a path."""
    if isinstance(source, Path):
        return source.read_bytes(), source.name
    if isinstance(source, str) and "\n" not in source and source.endswith((".json", ".yaml", ".yml")):
        return Path(source).read_bytes(), Path(source).name
    return source, f"definition{suffix}"
