"""The files that are the same for every installation. In a checkout they are in ``deploy/``, in a wheel beside this.

pyproject.toml puts them into the wheel.
"""

from __future__ import annotations

from pathlib import Path


def fixed(*folders: str) -> dict[str, str]:
    """Path below ``deploy/`` -> text of every file in these folders. Example: ``fixed("redis")["redis/redis.conf"]``"""
    root = _root()
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in paths}


def _root() -> Path:
    packaged = Path(__file__).parent / "deploy"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "deploy"
