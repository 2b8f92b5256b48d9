"""``orchestrator metrics``: what is true of the installation, in the form that Prometheus reads.

The same figures as on ``/metrics`` of a server, without those that a process counts. Called by probes and by operators.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Leaf
from orchestrator_cli.session import current_session


@click.command(
    cls=Leaf, examples="orchestrator metrics\norchestrator metrics > /var/lib/node_exporter/orchestrator.prom"
)
def metrics() -> None:
    """Print the metrics of the installation once: queues, partitions, deciders, memory."""
    try:
        from orchestrator.metrics import page_of
    except ImportError as error:
        from orchestrator.errors import MissingExtra

        raise MissingExtra("metrics", "metrics") from error
    from orchestrator.service import operations

    with current_session().store() as store:
        found, queues = store.run(operations.diagnose), store.run(operations.queues)
    click.echo(page_of(found, queues), nl=False)
