"""Reading a journal again: what a prefix of it gives, and that reading it twice gives the same (I19).

`image` is everything that must follow from the journal, in plain values, to be compared with another reading of it or
kept beside a recorded journal (tests/golden/journal).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from maze_head.core.events import Instant
from maze_head.core.invariants import check
from maze_head.core.scheduler import HeadCore
from maze_head.core.state import Settings
from maze_head.journal import ClusterRow, GraphRow, Row, SegmentRow
from sim.disk import CLUSTER_ID
from support.head_core import dump

EPOCH = 2_000_000_000


def restore(core: HeadCore, rows: Iterable[Row]) -> None:
    """Give rows to a core in their order, as maze_head/app.py does."""
    for row in rows:
        match row:
            case SegmentRow(run_no, segment):
                core.restore_segment(run_no, segment)
            case GraphRow(workflow_id, version, body):
                core.restore_graph(workflow_id, version, body)
            case ClusterRow(kind, body, wall):
                core.restore_cluster(kind, body, wall)


def read(rows: Sequence[Row]) -> HeadCore:
    """Return a core that has read these rows."""
    core = HeadCore(Settings(), EPOCH, CLUSTER_ID)
    restore(core, rows)
    return core


def image(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what a core knows after these rows."""
    return dump(read(rows))


def recover(rows: Sequence[Row]) -> HeadCore:
    """Return a core that has read these rows and gone on from there."""
    core = read(rows)
    core.restored(Instant(1.0, 1.7e9))
    check(core.state)
    return core
