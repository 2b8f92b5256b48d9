"""Documents as YAML: in the order they were made, without anchors, long lines left alone."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import MissingExtra

try:
    import yaml
except ImportError as error:
    raise MissingExtra("YAML", "cli") from error


class _Plain(yaml.SafeDumper):
    """A value that stands at two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(*documents: Any) -> str:
    """The documents as one file. Example: ``written({"a": 1}, {"b": 2}) == "a: 1\\n---\\nb: 2\\n"``"""
    text: str = yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1_000)
    return text
