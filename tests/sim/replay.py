"""Reading a journal again: what a prefix of it gives, and what going on from there leaves (I19).

`image` is everything that must follow from the journal, to be compared with another reading of it; `story` is what of
it people would notice, in words that later versions can still say: it is kept beside recorded journals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from maze_head.batch import Batch
from maze_head.core.effects import Accept, Append, AppendCluster, CopyAccepted, SaveGraph
from maze_head.core.events import Instant
from maze_head.core.invariants import check
from maze_head.core.runs import Run
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.core.transitions import PHASE_NAMES
from maze_head.journal import ClusterRow, GraphRow, Row, SegmentRow
from sim.disk import CLUSTER_ID
from support.graphs import graph_read
from support.head_core import dump

EPOCH = 2_000_000_000
NOW = Instant(1.0, 1.9e9)
DURABLE = (Append, Accept, CopyAccepted, SaveGraph, AppendCluster)


def read(rows: Iterable[Row]) -> HeadCore:
    """Return a core that has read these rows, as maze_head/app.py gives them."""
    core = HeadCore(Settings(), EPOCH, CLUSTER_ID)
    for row in rows:
        match row:
            case SegmentRow(run_no, segment):
                core.restore_segment(run_no, segment)
            case GraphRow(workflow_id, version, body):
                core.restore_graph(workflow_id, version, body)
            case ClusterRow(kind, body, wall):
                core.restore_cluster(kind, body, wall)
    return core


def image(core: HeadCore) -> dict[str, Any]:
    """Return what a core knows of everything that the journal must give back."""
    return dump(core)


def story(core: HeadCore) -> dict[str, Any]:
    """Return what a core knows, in words and numbers that do not change with its structs."""
    state = core.state
    return {
        "workflows": {
            flow.id.hex(): [flow.name, flow.revision, [task.hex() for task in flow.contents.tasks], list(flow.edits)]
            for flow in state.workflows.values()
        },
        "codes": [code.hex() for code in state.codes],
        "live": {str(run.no): _live(run) for run in state.runs.values()},
        "over": {
            str(no): [sealed.body.status, sealed.body.last_seq, sealed.body.finished, sealed.body.failed]
            for no, sealed in state.sealed.items()
        },
        "runs": {run_id.hex(): no for run_id, no in state.run_numbers.items()},
    }


def _live(run: Run) -> dict[str, Any]:
    return {
        "tasks": [PHASE_NAMES[phase] for phase in run.phase],
        "attempts": list(run.attempt),
        "leases": list(run.lease),
        "faults": {str(task): [fault.kind for fault in faults] for task, faults in sorted(run.faults.items())},
        "last_seq": run.next_seq - 1,
        "cancelling": run.cancelling,
        "stopped_by": run.stopped_by,
    }


def recover(rows: Sequence[Row]) -> tuple[HeadCore, list[Row]]:
    """Return a core that has read these rows and gone on, and the rows with what it wrote by doing so."""
    core = read(rows)
    effects = core.restored(NOW)
    for row in rows:
        flow = core.state.workflows.get(row.workflow_id) if isinstance(row, GraphRow) else None
        if flow is not None and flow.away and (flow.id, flow.revision) == row[:2]:
            core.handle(graph_read(*row), NOW)
    check(core.state)
    return core, [*rows, *_rows(effects)]


def _rows(effects: Sequence[Any]) -> list[Row]:
    batch = Batch(EPOCH, NOW.wall)
    for effect in effects:
        if isinstance(effect, DURABLE):
            batch.add(effect)
    rows: list[Row] = [
        GraphRow(fact.workflow_id, fact.version, fact.body)
        if isinstance(fact, SaveGraph)
        else ClusterRow(fact.kind, fact.body, NOW.wall)
        for fact in batch.facts
    ]
    return rows + [SegmentRow(run_no, segment) for run_no, segment in batch.segments()]
