"""Secrets and environment values: where they are kept, and how a task that may see some gets them.

A definition says ``${workflow.secrets.NAME}``. What is stored keeps that text; the value is put in its place in the copy
that a worker or system task is handed, and nowhere else. Only names count that the definition of the workflow (or of
the task, or of the parent that passed them on) spells out: text that arrives as data is never resolved.

A name is looked for in the environment of the process (``ORCHESTRATOR_SECRET_NAME``), then as a file in ``secrets_dir``,
then in Redis, where values are kept encrypted under ``secrets_key``. Called by ``dispatch`` and by the command line.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import pack, unpack
from orchestrator.core.jsonpath import PathInvalid, compile_path
from orchestrator.core.secret_references import REFERENCE
from orchestrator.errors import InvalidRequest, MissingExtra, NotFound, SettingsInvalid
from orchestrator.model.records import Outcome, Scheduled
from orchestrator.plan import Plan
from orchestrator.service import tag_members
from orchestrator.service.tag_members import Tagged
from orchestrator.settings import Settings
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext

MASK = "***"
HIDDEN_CHARS_MIN = 4
"""Shorter values are not looked for in texts: every word would be full of them."""

_NAME = re.compile(r"[A-Za-z0-9_\-]{1,100}")
_NONCE_BYTES = 12


class Revealed(NamedTuple):
    """A task's copy of its input with secrets in their places.

    ``hidden``: the texts that must not be seen in what is told of the task. ``fault``: why it cannot be run.
    """

    scheduled: Scheduled
    runtime_metadata: dict[str, str]
    hidden: tuple[str, ...] = ()
    fault: str | None = None


# --- for tasks --------------------------------------------------------------------------------------------------------


def reveal(store: StoreContext, tasks: Sequence[Scheduled]) -> Plan[list[Revealed]]:
    """What each of these tasks is handed; one read of Redis for all names that are not found nearer.

    A secret that nobody knows is a fault of that task alone; a name of its ``runtimeMetadata`` is left out.
    """
    secrets = {name for task in tasks for name in (*task.secrets, *task.runtime)}
    if not secrets:
        return [Revealed(task, {}) for task in tasks]
    values, locked = yield from read(store, sorted(secrets))
    lacking = sorted({name for task in tasks for name in task.runtime} - values.keys())
    environment = (yield from environment_values(store)) if lacking else {}
    return [_revealed(task, values, locked, environment) for task in tasks]


def _revealed(
    task: Scheduled, values: Mapping[str, str], locked: Mapping[str, str], environment: Mapping[str, str]
) -> Revealed:
    metadata = {name: values.get(name, environment.get(name)) for name in task.runtime}
    found = {name: value for name, value in metadata.items() if value is not None}
    hidden = [values[name] for name in (*task.secrets, *task.runtime) if name in values]
    missing = [name for name in task.secrets if name not in values]
    if missing:
        return Revealed(task, found, tuple(hidden), "; ".join(locked.get(name) or _unknown(name) for name in missing))
    if not task.secrets:
        return Revealed(task, found, tuple(hidden))
    try:
        value = _substituted(unpack(bytes(task.input)), task.secrets, values, hidden)
    except InvalidRequest as error:
        return Revealed(task, found, tuple(hidden), str(error))
    return Revealed(replace(task, input=Raw(pack(value))), found, tuple(hidden))


def _substituted(value: Any, allowed: Sequence[str], values: Mapping[str, str], hidden: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _substituted(item, allowed, values, hidden) for name, item in value.items()}
    if isinstance(value, list):
        return [_substituted(item, allowed, values, hidden) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = REFERENCE.fullmatch(value)
    if whole is not None and whole["name"] in allowed:
        return _read(whole, values, hidden)

    def text_of(match: re.Match[str]) -> str:
        if match["name"] not in allowed:
            return match[0]
        found = _read(match, values, hidden)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return REFERENCE.sub(text_of, value)


def _read(match: re.Match[str], values: Mapping[str, str], hidden: list[str]) -> Any:
    """The value of a secret, or what its path leads to in it. Raises ``InvalidRequest``."""
    name, path = match["name"], match["path"]
    if not path:
        return values[name]
    try:
        found = compile_path(f"${path}").read(json.loads(values[name]))
    except (ValueError, RecursionError, PathInvalid):
        raise InvalidRequest(f"secret {name} is not JSON, so {path} leads nowhere in it") from None
    if found is None:
        raise InvalidRequest(f"secret {name} has nothing at {path}")
    if isinstance(found, str):
        hidden.append(found)
    return found


def _unknown(name: str) -> str:
    return (
        f"secret {name} is not known where the task was to run: orchestrator secret set {name}, or give the worker the "
        f"variable ORCHESTRATOR_SECRET_{name} or the file {name} in its secrets_dir"
    )


def masked(outcome: Outcome, hidden: Sequence[str]) -> Outcome:
    """The outcome with secret values struck out of its reason and its log lines."""
    texts = sorted({text for text in hidden if len(text) >= HIDDEN_CHARS_MIN}, key=len, reverse=True)
    if not texts or (outcome.reason is None and not outcome.logs):
        return outcome
    pattern = re.compile("|".join(map(re.escape, texts)))
    reason = None if outcome.reason is None else pattern.sub(MASK, outcome.reason)
    return replace(outcome, reason=reason, logs=[(at_ms, pattern.sub(MASK, line)) for at_ms, line in outcome.logs])


# --- kept -------------------------------------------------------------------------------------------------------------


def read(store: StoreContext, names: Sequence[str]) -> Plan[tuple[dict[str, str], dict[str, str]]]:
    """The values of secrets by name, and of those that are there but cannot be read, why."""
    settings = store.settings
    values = {name: value for name in names if (value := _nearby(settings, name)) is not None}
    wanted = [name for name in names if name not in values]
    locked: dict[str, str] = {}
    for name, sealed in zip(wanted, (yield catalog.read_secrets(store.keys, wanted)) if wanted else [], strict=True):
        if sealed is not None:
            try:
                values[name] = _opened(settings, name, sealed)
            except (MissingExtra, SettingsInvalid) as error:
                locked[name] = f"secret {name} cannot be read: {error}"
    return values, locked


def value(store: StoreContext, name: str) -> Plan[str]:
    """The value of one secret. Raises ``NotFound``, and ``InvalidRequest`` for one that cannot be opened here."""
    values, locked = yield from read(store, [name])
    if name in locked:
        raise InvalidRequest(locked[name])
    if name not in values:
        raise _no_secret(name)
    return values[name]


def require(store: StoreContext, name: str) -> Plan[None]:
    """Make sure that there is a secret of this name. Raises ``NotFound``."""
    if name not in (yield from names(store)):
        raise _no_secret(name)


def put(store: StoreContext, name: str, value: str) -> Plan[None]:
    """Keep a secret in Redis, encrypted. Raises ``InvalidRequest``, ``SettingsInvalid`` (key), ``MissingExtra``."""
    _check_name(name)
    yield catalog.write_secret(store.keys, name, _sealed(store.settings, name, value))


def names(store: StoreContext) -> Plan[dict[str, str]]:
    """Every secret there is, by name, with where it comes from: environment, file or redis. Values are not read."""
    stored: list[str] = yield catalog.secret_names(store.keys)
    found = dict.fromkeys(stored, "redis")
    folder = store.settings.secrets_dir
    if folder and Path(folder).is_dir():
        found |= {file.name: "file" for file in Path(folder).iterdir() if file.is_file() and _NAME.fullmatch(file.name)}
    found |= dict.fromkeys(store.settings.secret_values, "environment")
    return dict(sorted(found.items()))


def delete(store: StoreContext, name: str) -> Plan[None]:
    """Forget a secret that Redis keeps, with its tags. Raises ``NotFound``."""
    if name not in (yield catalog.secret_names(store.keys)):
        raise NotFound(f"there is no secret {name} in Redis; files and variables are deleted where they are")
    yield from tag_members.forget(store, Tagged.SECRET, name)
    yield catalog.delete_secret(store.keys, name)


def new_key() -> str:
    """A key for the setting ``secrets_key``."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def environment_values(store: StoreContext) -> Plan[dict[str, str]]:
    """What ``${workflow.env.NAME}`` may read: allow-listed variables of this process, and over them the stored ones."""
    stored: dict[str, str] = yield catalog.list_environment(store.keys)
    return {**store.settings.env_values, **stored}


def environment_value(store: StoreContext, name: str) -> Plan[str]:
    """One value that ``${workflow.env.NAME}`` may read. Raises ``NotFound``."""
    values = yield from environment_values(store)
    if name not in values:
        raise NotFound(f"there is no environment value {name}; list them with: orchestrator env list")
    return values[name]


def put_environment(store: StoreContext, name: str, value: str) -> Plan[None]:
    """Store an environment value that every decider sees within a second. Raises ``InvalidRequest``."""
    _check_name(name)
    yield catalog.write_environment(store.keys, name, value)


def delete_environment(store: StoreContext, name: str) -> Plan[None]:
    """Forget a stored environment value. Raises ``NotFound``."""
    if not (yield catalog.delete_environment(store.keys, name)):
        raise NotFound(f"there is no environment value {name} in Redis; list them with: orchestrator env list")


def _no_secret(name: str) -> NotFound:
    return NotFound(f"there is no secret {name}; list them with: orchestrator secret list")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for a secret or value: 1 to 100 letters, digits, '_' or '-'")


def _nearby(settings: Settings, name: str) -> str | None:
    found = settings.secret_values.get(name)
    if found is not None or not settings.secrets_dir or not _NAME.fullmatch(name):
        return found
    try:
        return (Path(settings.secrets_dir) / name).read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None


# --- sealed -----------------------------------------------------------------------------------------------------------


def _sealed(settings: Settings, name: str, value: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    sealed: bytes = _cipher(settings).encrypt(nonce, value.encode(), name.encode())
    return nonce + sealed


def _opened(settings: Settings, name: str, sealed: bytes) -> str:
    """The value of a stored secret; sealed with its name, so that one cannot be passed off as another."""
    cipher = _cipher(settings)
    from cryptography.exceptions import InvalidTag

    try:
        opened: bytes = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
    except InvalidTag:
        raise SettingsInvalid("secrets_key is not the key that it was stored with") from None
    return opened.decode()


def _cipher(settings: Settings) -> Any:
    if not settings.secrets_key:
        raise SettingsInvalid(
            "secrets_key is not set: make one with `orchestrator secret key` and give it to every process as "
            "ORCHESTRATOR_SECRETS_KEY or ORCHESTRATOR_SECRETS_KEY_FILE"
        )
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtra("keeping secrets in Redis", "secrets") from None
    try:
        return AESGCM(base64.urlsafe_b64decode(settings.secrets_key))
    except (ValueError, binascii.Error):
        raise SettingsInvalid("secrets_key is not a key: make one with `orchestrator secret key`") from None
