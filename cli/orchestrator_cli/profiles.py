"""Profiles: connection settings kept under a name, one TOML file each, and which of them is in use.

They are in ``profiles/`` of ``$XDG_CONFIG_HOME/orchestrator`` (``~/.config/orchestrator``), readable by their owner alone,
since a URL may hold a password; ``profile`` beside it names the one in use. A profile holds for an installation as a whole:
it counts in all its values or not at all. Called by ``session`` for every command, and by ``orchestrator profile``.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import NotFound, SettingsInvalid

VARIABLE = "ORCHESTRATOR_PROFILE"
NAMES = ("redis_url", "server_url", "auth_key", "auth_secret", "namespace")
FROM_FILES = {"redis_url_file": "redis_url", "auth_secret_file": "auth_secret"}
"""Values that are in a file of their own, by the name that says where."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESSES = ("ORCHESTRATOR_REDIS_URL", "ORCHESTRATOR_REDIS_URL_FILE", "ORCHESTRATOR_SERVER_URL")


class Profile(NamedTuple):
    """One profile. ``is_asked_for``: this command line names it, so it goes before the environment.

    ``is_in_use``: nobody names it, ``profile use`` chose it some time.
    """

    name: str
    values: Mapping[str, str]
    is_asked_for: bool = False
    is_in_use: bool = False


def folder() -> Path:
    """Where profiles are kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "orchestrator"


def chosen(asked_for: str | None) -> Profile | None:
    """The profile that a command goes by: the one it names, else that of the environment, else the one in use.

    Addresses in the environment go before the last two. Raises ``NotFound`` and ``SettingsInvalid``.
    """
    if asked_for:
        return Profile(asked_for, read(asked_for), is_asked_for=True)
    if any(os.environ.get(name) for name in _ADDRESSES):
        return None
    named = os.environ.get(VARIABLE)
    name = named or in_use()
    return Profile(name, read(name), is_in_use=not named) if name else None


def names() -> list[str]:
    """All profiles by name."""
    return sorted(path.stem for path in (folder() / "profiles").glob("*.toml"))


def in_use() -> str | None:
    """The profile that ``profile use`` chose."""
    try:
        return (folder() / "profile").read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None


def use(name: str | None) -> None:
    """Go by a profile from now on, ``None`` for by none. Raises ``NotFound``."""
    if name is not None:
        stored(name)
    _write(folder() / "profile", f"{name or ''}\n")


def path_of(name: str) -> Path:
    """The file of a profile. Raises ``SettingsInvalid`` for what is no name."""
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(f"{name!r} is no name of a profile: letters, digits, points, dashes and underscores")
    return folder() / "profiles" / f"{name}.toml"


def stored(name: str) -> dict[str, str]:
    """What a profile's file says. Raises ``NotFound``, and ``SettingsInvalid`` for a file that says something else."""
    path = path_of(name)
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = ", ".join(names()) or "none"
        raise NotFound(
            f"there is no profile {name!r} (there are: {known}); make it with: orchestrator profile set {name} redis_url=..."
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"profile {name}: {path} cannot be read: {error}") from error
    return check(name, found)


def read(name: str) -> dict[str, str]:
    """The settings of a profile, those from files included. Raises like ``stored``."""
    values = stored(name)
    for where, setting in FROM_FILES.items():
        if where in values:
            path = Path(values.pop(where)).expanduser()
            try:
                values[setting] = path.read_text("utf-8").strip()
            except (OSError, ValueError) as error:
                raise SettingsInvalid(f"profile {name}: {where}={path} cannot be read: {error}") from error
    return values


def put(name: str, values: Mapping[str, str]) -> None:
    """Keep a profile, replacing the one of that name. Raises ``SettingsInvalid``."""
    checked = check(name, values)
    # A JSON string is one of TOML, too, when it escapes nothing that it need not.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in checked.items()]
    _write(path_of(name), "".join(lines))


def delete(name: str) -> None:
    """Forget a profile; when it was in use, none is. Raises ``NotFound``."""
    stored(name)
    path_of(name).unlink()
    if in_use() == name:
        use(None)


def check(name: str, values: Mapping[str, object]) -> dict[str, str]:
    """The values of a profile. Raises ``SettingsInvalid`` for others, and for none or two addresses."""
    known = (*NAMES, *FROM_FILES)
    for key, value in values.items():
        if key not in known:
            raise SettingsInvalid(f"profile {name}: {key} is not kept in profiles; there are: {', '.join(known)}")
        if not isinstance(value, str) or not value or not value.isprintable():
            raise SettingsInvalid(f"profile {name}: {key} must be a line of text")
    if sum(key in values for key in ("redis_url", "redis_url_file", "server_url")) != 1:
        raise SettingsInvalid(f"profile {name} names one address: redis_url, redis_url_file or server_url")
    return {key: str(value) for key, value in values.items()}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(".new")
    with open(new, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    new.replace(path)
