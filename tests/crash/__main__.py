"""``python -m tests.crash``: the whole chaos run, its figures, and the command that repeats it. Exit 1 on a violation."""

from __future__ import annotations

import argparse
import random
import signal
import sys

from tests.crash.run import Chaos, run


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--workflows", type=int, default=Chaos.workflows)
    parser.add_argument("--timeout-s", type=float, default=Chaos.timeout_s)
    parser.add_argument("--lease-ms", type=int, default=Chaos.lease_ms, help="15000 is the product's default")
    parser.add_argument("--ownership-ms", type=int, default=Chaos.ownership_ms, help="10000 is the product's default")
    parser.add_argument("--ships", type=int, default=Chaos.ships, help="parcels in any 2 s")
    parser.add_argument("--ships-at-once", type=int, default=Chaos.ships_at_once)
    chaos = Chaos(**vars(parser.parse_args()))
    # An end by SIGTERM must end the processes of the run as well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(chaos.command, flush=True)
    finding = run(chaos, say=lambda line: print(line, flush=True))
    for name, value in finding.figures.items():
        print(f"{name:40} {value}")
    for violation in finding.violations[:50]:
        print(f"VIOLATION {violation.kind}: {violation.what}")
    print(f"{len(finding.violations)} violations. To repeat: {chaos.command}")
    return 1 if finding.violations else 0


if __name__ == "__main__":
    sys.exit(main())
