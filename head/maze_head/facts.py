"""What the hub tells readers of committed facts. Plain records, shared by the hub and the API."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KeptLog", "RunPlace"]


class RunPlace(NamedTuple):
    """Where a run is kept: its number, and the graph version it is a snapshot of."""

    run_no: int
    workflow_id: bytes
    version: int


class KeptLog(NamedTuple):
    """The tail of one captured stream of an ended attempt; `size` counts all that was ever written."""

    tail: bytes
    size: int
