"""Record journals of simulated heads: `PYTHONPATH=tests python tests/golden/make_history.py`.

Run it for a new release only. Files of a release never change: its heads left exactly such journals. NAME.sql is the
journal as text, cut in the middle of things, and NAME.json what a head must know after reading it.
"""

from __future__ import annotations

import json
from pathlib import Path

from maze_head.batch import Batch
from maze_head.schema import APPLICATION_ID
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from sim.disk import Disk, SimJournal
from sim.replay import read, story
from sim.world import World

DIRECTORY = Path(__file__).parent / "history"
SEEDS = (82, 208)
"""Of worlds in which heads and nodes fail, attempts are adopted, and runs are cancelled. The journals of 21 and 271
were left by heads that still interrupted attempts when they restarted."""
KEPT = 0.7


def batches_of(seed: int) -> list[Batch]:
    """Return what the heads of a world wrote."""
    kept: list[Batch] = []
    report = World(seed).run(lambda world: kept.extend(world.disk.batches))
    assert report.ok, report.problem
    return kept[: int(KEPT * len(kept))]


def record(seed: int) -> None:
    """Write the two files of a seed."""
    disk = Disk("process")
    for batch in batches_of(seed):
        disk.write(batch)
    known = story(read(SimJournal(disk, 1, lambda batch, done: None).load(sparing=False)))
    (version,) = disk.connection.execute("PRAGMA user_version").fetchone()
    lines = [*disk.connection.iterdump(), f"PRAGMA application_id={APPLICATION_ID};", f"PRAGMA user_version={version};"]
    name = f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}-{seed}"
    (DIRECTORY / f"{name}.sql").write_text("\n".join(lines) + "\n")
    (DIRECTORY / f"{name}.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for number in SEEDS:
        record(number)
