"""Every setting of the product, read once, checked once, each value with its source.

A value comes from an argument, from ``ORCHESTRATOR_<NAME>`` or is the default; the URLs of Redis and of the archive and the
key of secrets may also come from the file that ``ORCHESTRATOR_<NAME>_FILE`` names, because secrets are mounted as files.
Nothing else in the package reads the environment. Limits of single tasks and workflows are not settings: they are in
their definitions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsInvalid

PREFIX = "ORCHESTRATOR_"
SECRET_PREFIX = "ORCHESTRATOR_SECRET_"
_CONDUCTOR = {"auth_key": "CONDUCTOR_AUTH_KEY", "auth_secret": "CONDUCTOR_AUTH_SECRET"}
"""Under which names Conductor's clients find the same; ours go first."""
_DERIVED = frozenset({"sources", "env_values", "secret_values"})
DURABILITIES = ("none", "fsync", "replicas")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_RANGES: dict[str, tuple[float, float]] = {
    "partitions": (1, 4096),
    "lease_ms": (1_000, 3_600_000),
    "ownership_ms": (1_000, 600_000),
    "replicas": (1, 100),
    "barrier_timeout_ms": (10, 60_000),
    "payload_bytes_max": (1_024, 256 * 1024 * 1024),
    "payload_threshold_bytes": (256, 256 * 1024 * 1024),
    "variables_bytes_max": (1_024, 64 * 1024 * 1024),
    "rate_guard_ms": (0, 10_000),
    "priority_step_ms": (0, 3_600_000),
    "deliveries_max": (1, 1_000_000),
    "drain_timeout_s": (0, 86_400),
    "recycle_tasks": (0, 1_000_000_000),
    "recycle_memory_bytes": (0, 2**50),
    "http_timeout_s": (0.1, 3_600),
    "http_response_bytes_max": (1_024, 256 * 1024 * 1024),
    "http_redirects_max": (0, 50),
    "archive_after_s": (0, 10 * 366 * 86_400),
    "archive_memory_percent": (1, 100),
}


@dataclass(frozen=True)
class Settings:
    """The settings of one process.

    Raises ``SettingsInvalid`` (name and reason) for a value out of range. Example: ``Settings(lease_ms=30_000)``
    """

    redis_url: str = "redis://localhost:6379/0"
    server_url: str = ""  # of an HTTP server, for clients and commands that shall speak to it instead of to Redis
    auth_key: str = ""  # id of the key that they get tokens with
    auth_secret: str = field(default="", repr=False)
    namespace: str = "orc"
    partitions: int = 16  # fixed by the first process of an installation
    lease_ms: int = 15_000  # a task's delivery lease; workers renew it at a third
    ownership_ms: int = 10_000  # how long a decider owns a partition without renewing
    durability: str = "none"  # what must have happened before an input is acknowledged: none | fsync | replicas
    replicas: int = 1  # durability=replicas: how many must have the write
    barrier_timeout_ms: int = 1_000
    payload_bytes_max: int = 3 * 1024 * 1024
    variables_bytes_max: int = 256 * 1024
    rate_guard_ms: int = 5
    priority_step_ms: int = 1_000
    deliveries_max: int = 10
    allow_eviction: bool = False  # run although Redis may evict, or does not say whether it does
    drain_timeout_s: float = 20.0
    recycle_tasks: int = 0  # after so many tasks a child of the process pool is replaced; 0: never
    recycle_memory_bytes: int = 0  # with more memory than that as well, when its task has ended; 0: never
    http_timeout_s: float = (
        60.0  # a whole HTTP call, redirects included; a task whose own time-outs are longer gets those
    )
    http_response_bytes_max: int = 2 * 1024 * 1024
    http_redirects_max: int = 5
    http_allow: str = ""  # hosts, *.domains and networks that HTTP tasks may reach although they are not public
    kafka_servers: str = ""  # brokers that tasks may send to, host:port; empty: any
    rq_url: str = ""  # the Redis of RQ; empty: the one of redis_url
    rq_queues: str = ""  # queues of RQ that tasks may use, each as NAME or, with RQ's JSON serializer, NAME=json
    rq_webhook_url: str = ""  # where RQ's workers reach our HTTP API, with its /api, to tell at once what has ended
    http_hosts: str = ""  # for tests: bank.example=127.0.0.1:8081, where a host is to be found instead
    payload_storage: str = ""  # file:///folder or s3://bucket/prefix, for payloads larger than the threshold
    payload_threshold_bytes: int = 256 * 1024
    env_names: str = ""  # environment variables that expressions may read as workflow.env.NAME, with commas between
    secrets_dir: str = ""  # a folder of files, each a secret by its name, as orchestrators of containers mount them
    secrets_key: str = field(default="", repr=False)  # what secrets in Redis are encrypted with
    workflow_listener_sink: str = ""  # where news of workflows with a listener goes that name no sink of their own
    task_listener_sink: str = ""  # where news of tasks goes; empty: nowhere
    webhook_secret: str = field(default="", repr=False)  # signs what is posted to listeners
    archive_url: str = ""  # sqlite:////a/file.db (one host) or postgresql://..., for executions that have ended
    archive_after_s: float = 86_400.0  # so long after its end an execution moves from Redis to the archive
    archive_memory_percent: int = 60  # with more of Redis' memory in use ended executions move at once
    log_level: str = "INFO"
    env_values: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # of the env_names
    secret_values: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # ORCHESTRATOR_SECRET_*
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise _invalid(name, self.source(name), f"{getattr(self, name)} is outside {low}..{high}")
        for name, choices in (("durability", DURABILITIES), ("log_level", LOG_LEVELS)):
            if getattr(self, name) not in choices:
                raise _invalid(name, self.source(name), f"{getattr(self, name)!r} is not one of {', '.join(choices)}")

    def source(self, name: str) -> str:
        """Where the value of setting ``name`` came from: ``default``, ``argument``, a variable's or a file's name."""
        if name in self.sources:
            return self.sources[name]
        default = next(item.default for item in fields(self) if item.name == name)
        return "default" if getattr(self, name) == default else "argument"


def load_settings(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Settings from arguments (``None`` = not given), then the environment, then the defaults.

    Raises ``SettingsInvalid`` for a value that cannot be read or is out of range, or an unreadable file.
    Example: ``load_settings(redis_url="redis://db:6379/0").source("redis_url") == "argument"``
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in fields(Settings):
        if item.name in _DERIVED:
            continue
        if arguments.get(item.name) is not None:
            values[item.name], sources[item.name] = arguments[item.name], "argument"
            continue
        found = _from_environment(item.name, environ)
        if found is not None:
            text, source = found
            values[item.name], sources[item.name] = _read(item.name, text, type(item.default), source), source
    allowed = [name.strip() for name in values.get("env_names", "").split(",")]
    values["env_values"] = {name: environ[name] for name in allowed if name in environ}
    values["secret_values"] = {
        name.removeprefix(SECRET_PREFIX): value for name, value in environ.items() if name.startswith(SECRET_PREFIX)
    }
    return Settings(**values, sources=sources)


def _from_environment(name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    variable = PREFIX + name.upper()
    if environ.get(variable):
        return environ[variable], variable
    conductor = _CONDUCTOR.get(name)
    if conductor is not None and environ.get(conductor):
        return environ[conductor], conductor
    if name in ("redis_url", "secrets_key", "archive_url", "auth_secret") and environ.get(variable + "_FILE"):
        path = environ[variable + "_FILE"]
        try:
            return Path(path).read_text("utf-8").strip(), f"{variable}_FILE={path}"
        except OSError as error:
            raise _invalid(name, f"{variable}_FILE", f"cannot read {path}: {error.strerror}") from error
    return None


def _read(name: str, text: str, kind: type[Any], source: str) -> Any:
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise _invalid(name, source, f"{text!r} is not true or false")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise _invalid(name, source, f"{text!r} is not a number") from None
    return text.upper() if name == "log_level" else text


def _invalid(name: str, source: str, reason: str) -> SettingsInvalid:
    return SettingsInvalid(f"{name} (from {source}): {reason}")
