"""A PostgreSQL server of the tests' own, on a socket in a folder; gone with the tests.

On a machine without one the tests are skipped; in CI they fail.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FOLDERS = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        if os.environ.get("CI"):
            pytest.fail("there is no PostgreSQL on this machine: apt-get install postgresql")
        pytest.skip("there is no PostgreSQL on this machine: apt-get install postgresql")
    data = folder / "data"
    as_user = _as_user(folder)
    _run([*as_user, initdb, "-D", str(data), "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
    options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=30"
    _run([*as_user, control, "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start"])
    try:
        yield f"postgresql://tests@/postgres?host={folder}"
    finally:
        _run([*as_user, control, "-D", str(data), "-m", "immediate", "stop"])


def _as_user(folder: Path) -> list[str]:
    """PostgreSQL does not run as root: then it is nobody's."""
    if os.getuid() != 0:
        return []
    shutil.chown(folder, "nobody")
    for parent in folder.parents:
        if parent != Path("/") and parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=50)
    if ended.returncode:
        raise RuntimeError(f"{command}: {ended.stdout.decode(errors='replace')}")
