"""The numbers of the core that an operator may turn. Data only; where they come from is config.py's business."""

from __future__ import annotations

from dataclasses import dataclass

from maze_head.core.discipline import Fcfs, MakeDiscipline
from maze_protocol import limits

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers an operator may turn. Times in seconds."""

    heartbeat: float = limits.HEARTBEAT
    suspect_after: float = limits.SUSPECT_AFTER
    lost_after: float = limits.LOST_AFTER
    recovery_grace: float = limits.LOST_AFTER
    """How long a restarted head waits for the nodes that held work (decisions, 11); at least `lost_after`."""
    disconnect_grace: float = 1.0
    """A node whose connection broke while it was well heard has so long to say HELLO again (decisions, 10)."""
    orphan_timeout: float = limits.ORPHAN_TIMEOUT
    crash_budget: int = limits.CRASH_BUDGET
    node_loss_budget: int = limits.NODE_LOSS_BUDGET
    spawner_loss_budget: int = 20
    max_pending_tasks: int = 5_000_000
    cancel_grace: float = 5.0
    quarantine: bool = True
    """Whether nodes that cannot work are left alone for a while (quarantine.py)."""
    keep_runs: int = 10_000
    keep_days: float = 30.0
    keep_bytes: int = 0
    """How much is kept of what is over: runs, days, size of the journal. 0: no limit."""
    order: MakeDiscipline = Fcfs
    """In which order ready tasks start."""
    priority_step: float = 600.0
    """How many seconds of waiting one step of priority is worth."""
    reserve_after: float = 30.0
    """A task that has waited so long has room kept for it (reservation.py)."""
    object_ttl: float = 600.0
    """How long after the end of a run nodes hold what was only passed from task to task."""
    tasks_at_hand: int = 50_000
    """Of how many tasks the workflows may be that are kept in memory because they were used last (shelf.py)."""
