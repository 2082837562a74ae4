"""Run seeds: `python tests/sim/run.py --seeds 0..2000`. Exit code 1 if any of them breaks a rule.

Each failing seed is printed with the command that repeats it. Ranges are independent, so a long run is several of
them. `MAZE_SIM_SEED=17 python tests/sim/run.py` runs one seed and prints everything about it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for part in ("maze", "head", "node", "protocol", "tests"):
    sys.path.insert(0, str(ROOT / part))

from sim.world import Report, run  # noqa: E402 -- the paths come first


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0..500", help="A..B: from A up to, not including, B")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    parser.add_argument("--every", type=int, default=1000, help="tell of the progress after so many seeds")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    single = os.environ.get("MAZE_SIM_SEED")
    first, last = (int(single), int(single) + 1) if single else map(int, options.seeds.split(".."))
    began, failed, steps, virtual = time.process_time(), [], 0, 0.0
    for seed in range(first, last):
        report = run(seed)
        steps, virtual = steps + report.steps, virtual + report.seconds
        if not report.ok or single:
            failed += [] if report.ok else [seed]
            _tell(report)
            if options.stop and failed:
                break
        if (seed - first + 1) % options.every == 0:
            print(f"{seed + 1 - first} seeds, {len(failed)} failed", flush=True)
    spent = time.process_time() - began
    count = seed + 1 - first
    print(
        f"seeds {first}..{seed + 1}: {count} worlds, {steps} steps, {virtual:.0f} virtual seconds in {spent:.1f} CPU "
        f"seconds ({count / spent:.0f} worlds/s, {steps / spent:.0f} steps/s); {len(failed)} failed {failed[:20]}"
    )
    return 1 if failed else 0


def _tell(report: Report) -> None:
    print(f"seed {report.seed}: {'ok' if report.ok else 'FAILED'}, trace {report.trace}, {report.knobs}")
    print(report.problem)
    print(f"  repeat with: MAZE_SIM_SEED={report.seed} python tests/sim/run.py", flush=True)


if __name__ == "__main__":
    sys.exit(main())
