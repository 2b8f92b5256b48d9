"""Figures to a table for people and JSON for machines."""

from __future__ import annotations

import json
import statistics
from typing import Any, NamedTuple

from bench.baseline import Baseline
from bench.jobs import Job


class Row(NamedTuple):
    """One job of one contender: a figure per run (rates), or all times of all runs (latencies)."""

    job: Job
    contender: str
    figures: list[float]
    baselines: list[Baseline]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def p99(self) -> float:
        ordered = sorted(self.figures)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    def ratio(self) -> float | None:
        """The figure in R or T of its own blocks; None where R could not be measured."""
        if self.job.unit == "T":
            return self.median / statistics.median(b.round_trip_s for b in self.baselines)
        rates = [b.calls_per_s for b in self.baselines if b.calls_per_s is not None]
        return self.median / statistics.median(rates) if rates else None

    def verdict(self) -> str:
        """Whether the floor this project set itself holds."""
        ratio = self.ratio()
        if self.contender != "orchestrator" or self.job.floor is None or ratio is None:
            return ""
        holds = ratio <= self.job.floor if self.job.unit == "T" else ratio >= self.job.floor
        return f"{'ok' if holds else 'BELOW'} (floor {self.job.floor:g} {self.job.unit})"


def table(rows: list[Row]) -> str:
    """Aligned text, one line a job and contender."""
    lines = [f"{'job':<31}{'contender':<14}{'median':>12}{'spread':>24}{'p99':>10}{'ratio':>10}  floor"]
    for row in rows:
        scale, form = (1e3, "{:.2f} ms") if row.job.unit == "T" else (1.0, "{:,.0f}")
        spread = f"{form.format(min(row.figures) * scale)} .. {form.format(max(row.figures) * scale)}"
        p99 = form.format(row.p99 * scale) if row.job.unit == "T" else ""
        ratio = row.ratio()
        shown = f"{ratio:.3g} {row.job.unit}" if ratio is not None else "-"
        median = form.format(row.median * scale)
        lines.append(
            f"{row.job.name:<31}{row.contender:<14}{median:>12}{spread:>24}{p99:>10}{shown:>10}  {row.verdict()}"
        )
    return "\n".join(lines)


def as_json(rows: list[Row], extra: dict[str, Any]) -> str:
    """Everything, unrounded."""
    shown = [
        {
            "job": row.job.name,
            "contender": row.contender,
            "median": row.median,
            "figures": row.figures,
            "ratio": row.ratio(),
            "unit": row.job.unit,
            "floor": row.job.floor,
            "R": [b.calls_per_s for b in row.baselines],
            "T": [b.round_trip_s for b in row.baselines],
        }
        for row in rows
    ]
    return json.dumps({"rows": shown, **extra}, indent=2)
