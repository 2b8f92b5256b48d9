"""The command line of the simulation: one seed with its trace, a range with totals, or a mutant that must be caught.

Example: ``python -m tests.simulation --seeds 0-499``
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.mutants import MUTANTS
from tests.simulation.runs import Server, run_seed
from tests.simulation.totals import Totals


def main() -> int:
    """Run what the arguments ask for; 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--seeds", default="0-49", help="a range, e.g. 0-499 (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print every step")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run with this damage in place")
    parser.add_argument("--until-found", action="store_true", help="stop at the first broken rule")
    parser.add_argument(
        "--server", choices=("redis", "valkey"), default="redis", help="the disk (default: %(default)s)"
    )
    options = parser.parse_args()
    first, _, last = (options.seeds if options.seed is None else str(options.seed)).partition("-")
    totals, failed = Totals(), 0
    with Server(options.server) as server:
        for seed in range(int(first), int(last or first) + 1):
            found = run_seed(server, seed, verbose=options.verbose, mutant=options.mutant, totals=totals)
            if found is not None:
                failed += 1
                print(found, file=sys.stderr)
                if options.until_found:
                    break
    print(totals.text())
    print(f"{failed} seeds failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
