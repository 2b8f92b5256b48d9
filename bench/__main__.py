"""``python -m bench``: every job, interleaved with the peer, then memory and flatness; prints the table.

Options: ``--runs N`` (5), ``--scale F`` (1.0; smaller is quicker and rougher), ``--only PART...`` of ``PARTS``, ``--row WORDS``
(jobs whose name has these words, and no other),
``--peer PYTHON`` (an interpreter that has SAQ; without it the peer is left out), ``--json FILE``. Floors are printed, and
with ``--strict`` a figure below its floor makes the exit status 1. The first line says in which form the
pure part was measured; ``make bench`` takes the compiled one, ``make bench FORM=interpreted`` the other.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import orchestrator
from bench import baseline, flatness, growth, http, memory, search
from bench.baseline import Baseline
from bench.contender import Contender
from bench.jobs import JOBS, Job
from bench.ours import Orchestrator
from bench.peer import Saq
from bench.processes import Processes
from bench.report import Row, as_json, table
from bench.stamps import VARIABLE, StampFile
from orchestrator.core import form
from tests.support.redis_server import RedisServer

WORKERS = 2
PARTS = ("jobs", "http", "memory", "flatness", "growth", "search")


def main() -> int:
    """Run what was asked for; returns the exit status."""
    options = _options()
    print(f"orchestrator {orchestrator.__version__}, {form()}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-bench-")))
        os.environ[VARIABLE] = str(folder / "stamps")
        stamps = StampFile(folder / "stamps")
        server = stack.enter_context(RedisServer("redis"))
        rows = _jobs(options, server, stamps) if "jobs" in options.only else []
        rows += _http(options, server, stamps) if "http" in options.only else []
        extra = {
            "idle polls": _idle_polls(server, stamps) if "http" in options.only and not options.row else {},
            "memory": _memory(server, stamps) if "memory" in options.only else {},
            "flatness": _flatness(options, server, stamps) if "flatness" in options.only else {},
            "growth": _growth(server, stamps) if "growth" in options.only else {},
            "search": _search(server, folder) if "search" in options.only else {},
        }
    if options.json:
        Path(options.json).write_text(as_json(rows, extra), "utf-8")
    failed = [row for row in rows if row.verdict().startswith("BELOW")]
    return 1 if failed and options.strict else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--row", default="")
    parser.add_argument("--peer", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--strict", action="store_true")
    return parser.parse_args()


def _jobs(options: argparse.Namespace, server: RedisServer, stamps: StampFile) -> list[Row]:
    """Every job of every contender, ``runs`` times in turn."""
    makers: dict[str, Callable[[Processes], Contender]] = {
        "orchestrator": lambda processes: Orchestrator(processes, server.url, stamps, WORKERS)
    }
    if options.peer:
        python = str(Path(options.peer).absolute())  # not resolved: an environment's interpreter is a link
        makers["SAQ"] = lambda processes: Saq(processes, python, stamps, WORKERS)
    else:
        print("no peer: give --peer PYTHON with saq installed (make bench does)")
    jobs = _chosen(JOBS, options)
    rows = {(job.name, name): Row(job, name, [], []) for job in jobs for name in makers}
    for run in range(options.runs):
        for name, make in makers.items():
            server.flush()
            before = baseline.measure(server.url)
            with Processes({VARIABLE: str(stamps.path), "BENCH_REDIS_URL": server.url}) as processes:
                contender = make(processes)
                found = {job.name: job.measure(contender, stamps, options.scale) for job in jobs}
            after = baseline.measure(server.url)
            middle = baseline.mean(before, after)
            for job in jobs:
                rows[job.name, name].figures.extend(found[job.name])
                rows[job.name, name].baselines.append(middle)
            print(f"run {run + 1} of {options.runs}, {name}: {_shown(middle)}", flush=True)
    print("\n" + table(list(rows.values())) + "\n", flush=True)
    return list(rows.values())


def _http(options: argparse.Namespace, server: RedisServer, stamps: StampFile) -> list[Row]:
    """The jobs over HTTP, ``runs`` times."""
    rows = [Row(job, Orchestrator.name, [], []) for job in _chosen(http.JOBS, options)]
    for _ in range(options.runs):
        server.flush()
        before = baseline.measure(server.url)
        with Processes({VARIABLE: str(stamps.path)}) as processes:
            door = http.Door(processes, server.url, stamps, WORKERS)
            for row in rows:
                row.figures.extend(row.job.measure(door, stamps, options.scale))
        middle = baseline.mean(before, baseline.measure(server.url))
        for row in rows:
            row.baselines.append(middle)
    print(table(rows) + "\n", flush=True)
    return rows


def _chosen(jobs: Sequence[Job], options: argparse.Namespace) -> list[Job]:
    return [job for job in jobs if options.row in job.name]


def _idle_polls(server: RedisServer, stamps: StampFile) -> dict[str, float]:
    server.flush()
    with Processes({VARIABLE: str(stamps.path)}) as processes:
        assert server.pid is not None
        found = http.Door(processes, server.url, stamps, 0).idle(server.pid, http.IDLE_POLLS, http.IDLE_S)
    print(
        f"{http.IDLE_POLLS:,} idle polls: server {found.server_cpu:.3f} and store {found.store_cpu:.3f} CPU s/s,",
        end=" ",
    )
    print(f"{found.commands_per_s:,.0f} commands/s at the store\n", flush=True)
    return found._asdict()


def _shown(middle: Baseline) -> str:
    rate = f"R = {middle.calls_per_s:,.0f}/s" if middle.calls_per_s else "R left out (no redis-benchmark)"
    return f"{rate}, T = {middle.round_trip_s * 1e6:.0f} us"


def _memory(server: RedisServer, stamps: StampFile) -> dict[str, float]:
    server.flush()
    with Processes({VARIABLE: str(stamps.path)}) as processes:
        found = memory.measure(Orchestrator(processes, server.url, stamps, 0), server.url)
    for name, size in found.items():
        print(f"{name:<44}{size:>10,.0f} bytes")
    print(flush=True)
    return found


def _search(server: RedisServer, folder: Path) -> dict[str, object]:
    server.flush()
    found = search.measure(server.url, folder)
    print(f"{'search over ' + format(search.COUNT, ','):<50}{'p50 ms':>10}{'p99 ms':>10}")
    for name, figure in found.items():
        if isinstance(figure, search.Latency):
            print(f"{name:<50}{figure.p50_ms:>10.1f}{figure.p99_ms:>10.1f}")
        else:
            print(f"{name:<50}{figure:>10,.0f}")
    print(flush=True)
    return dict(found)


def _flatness(options: argparse.Namespace, server: RedisServer, stamps: StampFile) -> dict[str, dict[str, float]]:
    """Runs interleaved over the sizes, so that a drift of the machine meets all of them."""
    costs: dict[int, list[flatness.Cost]] = {size: [] for size in flatness.SIZES}
    for _ in range(options.runs):
        server.flush()
        with Processes({VARIABLE: str(stamps.path)}) as processes:
            ours = Orchestrator(processes, server.url, stamps, WORKERS)
            for size in flatness.SIZES:
                assert server.pid is not None
                costs[size].append(flatness.measure(ours, server.pid, size))
    found = {}
    print(f"{'tasks in the workflow':<24}{'decider us/task':>18}{'store us/task':>16}")
    for size, runs in costs.items():
        middle = flatness.medians(runs)
        found[str(size)] = {"decider_us": middle.decider_us, "store_us": middle.store_us}
        print(f"{size:<24,}{middle.decider_us:>18.1f}{middle.store_us:>16.1f}")
    return found


def _growth(server: RedisServer, stamps: StampFile) -> dict[str, dict[str, float]]:
    """Wide forks and long loops, once each: what is compared are sizes, on processes that have done nothing else."""
    found = {}
    print(f"{'workflow':<26}{'decider us/task':>18}{'store us/task':>16}{'decider peak MiB':>19}{'bytes/task':>13}")
    for shape, make in growth.SHAPES.items():
        for size in growth.SIZES:
            server.flush()
            with Processes({VARIABLE: str(stamps.path)}) as processes:
                ours = Orchestrator(processes, server.url, stamps, WORKERS)
                assert server.pid is not None
                cost = growth.measure(ours, server.pid, server.url, make(size), size)
            name = f"{shape} of {size:,}"
            found[name] = cost._asdict()
            print(
                f"{name:<26}{cost.decider_us:>18.1f}{cost.store_us:>16.1f}{cost.peak_mib:>19.1f}{cost.store_bytes:>13.0f}",
                flush=True,
            )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
