"""What the core counts, for /metrics. Numbers only grow; gauges are computed when asked for (describe.py)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Totals since this head started."""

    runs_submitted: int = 0
    runs_sealed: int = 0
    runs_removed: int = 0
    edits: int = 0
    rejected: int = 0
    leases: int = 0
    leases_early: int = 0
    tasks_finished: int = 0
    tasks_failed: int = 0
    tasks_skipped: int = 0
    tasks_cancelled: int = 0
    attempts_lost: int = 0
    attempts_retried: int = 0
    leases_released: int = 0
    leases_adopted: int = 0
    results_accepted: int = 0
    results_stale: int = 0
    results_duplicate: int = 0
    results_malformed: int = 0
    results_foreign: int = 0
    messages_ignored: int = 0
    nodes_joined: int = 0
    nodes_lost: int = 0
    nodes_left: int = 0
    nodes_refused: int = 0
    nodes_deferred: int = 0
    nodes_quarantined: int = 0
    objects_kept: int = 0
    objects_lost: int = 0
    objects_rebuilt: int = 0
    objects_gone: int = 0
