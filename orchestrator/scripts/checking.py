"""Scripts of a definition, judged when it is registered: can they be read? Nothing of them is run."""

from __future__ import annotations

from functools import lru_cache

from orchestrator.errors import MissingExtra
from orchestrator.scripts import javascript, jq, python

_CHECKS = {"javascript": javascript.check_syntax, "python": python.check_syntax, "jq": jq.check_syntax}


@lru_cache(maxsize=1024)
def check_script(language: str, script: str) -> str | None:
    """What is wrong with the script, or None; also None without the package that could tell.

    Example: ``check_script("javascript", "$.x >") is not None``
    """
    try:
        return _CHECKS[language](script)
    except MissingExtra:
        return None
