"""Which runs are due a tip, the word that says where a log ends. Pure: `now` comes in, run ids go out.

A publication that is lost shows by the next one's number, except the last. So while somebody listens, each run that
was published or joined gets a tip every second, and after its seal three more. The order of the table is the order of
being due, as all wait equally long; one call hands out a bounded share, so that thousands of tips hold no turn up.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Tips"]

INTERVAL: Final = 1.0
AFTER_THE_SEAL: Final = 3
MOST_AT_ONCE: Final = 250
MOST_RUNS: Final = 10_000
"""Runs above it get no tips; their readers ask after silence."""


class Tips:
    """Runs by the time at which their next tip is due."""

    def __init__(self) -> None:
        self._due: dict[bytes, float] = {}
        self._left: dict[bytes, int] = {}
        """Tips that sealed runs still get."""

    def __len__(self) -> int:
        return len(self._due)

    def watch(self, run_id: bytes, now: float) -> None:
        """Begin, or begin anew after a seal: somebody joined, or something was published."""
        self._left.pop(run_id, None)
        if run_id not in self._due and len(self._due) < MOST_RUNS:
            self._due[run_id] = now + INTERVAL

    def due(self, now: float) -> list[bytes]:
        """Take out the runs whose time has come, at most so many; `told` or `watch` puts one back."""
        found: list[bytes] = []
        for run_id, at in self._due.items():
            if at > now or len(found) == MOST_AT_ONCE:
                break
            found.append(run_id)
        for run_id in found:
            del self._due[run_id]
        return found

    def told(self, run_id: bytes, now: float, *, sealed: bool) -> None:
        """Note that a run got its tip, and when it gets another one."""
        if sealed:
            left = self._left.get(run_id, AFTER_THE_SEAL) - 1
            if not left:
                self.forget(run_id)
                return
            self._left[run_id] = left
        self._due[run_id] = now + INTERVAL

    def forget(self, run_id: bytes) -> None:
        """Stop: nobody listens any more."""
        self._left.pop(run_id, None)
