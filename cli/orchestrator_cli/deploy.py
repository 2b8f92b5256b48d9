"""``orchestrator deploy``: writes the files that run an installation, for containers, Kubernetes or plain hosts.

Starts and changes nothing. Called by operators; the files in the repository's ``deploy/`` are what it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.errors import InvalidRequest
from orchestrator_cli.command import Entry, LazyGroup, Leaf
from orchestrator_cli.output import say

if TYPE_CHECKING:
    from orchestrator_cli.deployment.installation import Installation, Role

group = LazyGroup(
    "deploy",
    help="Files to run an installation with: render.",
    entries={"render": Entry(__name__, "render", "Write files for compose, k8s, helm, systemd or a Procfile.")},
)

FORMS = ("compose", "k8s", "helm", "systemd", "procfile", "all")

EXAMPLES = """
orchestrator deploy render compose -d deploy
orchestrator deploy render k8s --image registry.example/shop:7 --worker billing=shop.billing,shop.mail
orchestrator deploy render systemd --program /srv/shop/bin/orchestrator --worker billing=shop.billing
"""


@click.command(cls=Leaf, examples=EXAMPLES)
@click.argument("form", type=click.Choice(FORMS))
@click.option("-d", "--directory", type=click.Path(path_type=Path), default=Path(), help="Where to. Default: here.")
@click.option("--image", help="The container image of all roles.")
@click.option("--program", help="The path of `orchestrator` on hosts without containers.")
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="NAME=MODULES[@N]",
    help="A kind of worker, its modules with commas between, N tasks at once (20). Repeatable.",
)
def render(form: str, directory: Path, image: str | None, program: str | None, workers: tuple[str, ...]) -> None:
    """Write the files of an installation into a directory; what is there already is replaced."""
    from orchestrator_cli.deployment import installation

    chosen = installation.of(image, program, [_worker(text) for text in workers])
    files = rendered(form, chosen)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
        click.echo(path)
    say(f"{len(files)} files are written")


def rendered(form: str, installation: Installation) -> dict[str, str]:
    """Path -> text of everything for that form. Example: ``rendered("procfile", EXAMPLE)["Procfile"]``"""
    from orchestrator_cli.deployment import compose, dashboards, files, kubernetes, units

    makers: dict[str, Callable[[], dict[str, str]]] = {
        "compose": lambda: {
            **compose.compose(installation),
            **files.fixed("docker", "redis", "nginx", "prometheus", "grafana/provisioning"),
            **dashboards.dashboards(),
        },
        "k8s": lambda: {**kubernetes.kubernetes(installation), **files.fixed("docker")},
        "helm": lambda: {**files.fixed("helm/orchestrator", "docker"), **kubernetes.helm_values(installation)},
        "systemd": lambda: {**units.systemd(installation), **files.fixed("redis", "nginx")},
        "procfile": lambda: units.procfile(installation),
    }
    found: dict[str, str] = {}
    for name in makers if form == "all" else (form,):
        found |= makers[name]()
    return found


def _worker(text: str) -> Role:
    from orchestrator_cli.deployment.installation import worker

    name, _, rest = text.partition("=")
    modules, _, concurrency = rest.partition("@")
    if not name.replace("-", "").isalnum() or not modules or not (concurrency or "1").isdigit():
        raise InvalidRequest(f"--worker {text}: NAME=MODULE,MODULE or NAME=MODULE@20 is wanted")
    return worker(name.lower(), modules.split(","), int(concurrency or 20))
