"""What a script looks at, as far as its text shows it: so that a decision loads no more than the script can read.

Input is the one name ``$`` for JavaScript; Python finds the keys of its input as names. Where the text leaves it open
what will be read, everything is.
"""

from __future__ import annotations

import re

Reads = dict[str, set[str] | None]
"""Keys of the input that may be read, and of each the members, None = all of them."""

_NAME = r"""\s*(?:\??\.\s*([A-Za-z_$][\w$]*)|(?:\?\.)?\[\s*(?:'([^'\\]*)'|"([^"\\]*)"|(\d+))\s*\])"""
_ACCESS = re.compile(rf"\$(?:{_NAME}(?:{_NAME})?)?")
_WORD = re.compile(r"[^\W\d]\w*")


def reads_of(language: str, script: str) -> Reads | None:
    """What of its input a script may read; None = anything.

    Example: ``reads_of("javascript", "$.loop['iteration'] < $.limit") == {"loop": {"iteration"}, "limit": None}``
    """
    if language == "python":
        return dict.fromkeys(_WORD.findall(script))
    found: Reads = {}
    for match in _ACCESS.finditer(script):
        groups = match.groups()
        key = next((group for group in groups[:4] if group is not None), None)
        if key is None:
            return None
        member = next((group for group in groups[4:] if group is not None), None)
        members = found.setdefault(key, set())
        if member is None or members is None:
            found[key] = None
        else:
            members.add(member)
    return found
