"""How far workers are kept from the rest of the machine: what was asked for, what is active, and why not more.

    none      only what Maze needs itself to end them: sessions, parent-death signals, subreapers
    process   and no new privileges (setuid programs do not raise them), no core dumps: the default
    bwrap     and a box of their own (box.py): a read-only file system, private temporary files, no other processes
    auto      the best of these that works here

A sandboxed attempt (sandbox.py) has more, whatever the level. What is told of it is what was tried here and worked; a
worker that cannot keep that word does not run the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from maze_node.box import Plan
from maze_node.errors import UsageError
from maze_node.namespaces import trouble

__all__ = ["BWRAP", "LEVELS", "NONE", "PROCESS", "Isolation", "choose"]

NONE: Final = "none"
PROCESS: Final = "process"
BWRAP: Final = "bwrap"
LEVELS: Final = (NONE, PROCESS, BWRAP, "auto")


class Isolation(NamedTuple):
    """What is active on this node."""

    level: str = PROCESS
    cuts_network: bool = False
    """Sandboxed attempts have no network."""
    plan: Plan | None = None
    """How boxes are made, at that level."""
    without: str = ""
    """What does not work here, in words."""

    @property
    def sandboxed(self) -> str:
        """Return, in the words of records, what a sandboxed attempt runs under."""
        return f"{self.level} sandbox no-network" if self.cuts_network else f"{self.level} sandbox"


def choose(wanted: str, base: Path, hidden: Iterable[Path] = ()) -> Isolation:
    """Return what is active from now on. Must be called from a process of one thread: it forks a child to try things.

    Args:
        wanted: one of LEVELS.
        base: where workers make directories for files of tasks.
        hidden: what they shall not see where that can be helped.

    Raises:
        UsageError: that does not work here; the reason is told.
    """
    if wanted in (BWRAP, "auto"):
        plan = Plan(base, hidden)
        wrong, connected = plan.trouble()
        if not wrong:
            return Isolation(BWRAP, not connected, plan, connected and f"no sandbox without network: {connected}")
        if wanted == BWRAP:
            raise UsageError(f"--isolation bwrap does not work here: {wrong}; `maze-node doctor` tells what does")
        return _process(PROCESS, f"no bwrap: {wrong}")
    return _process(wanted)


def _process(level: str, without: str = "") -> Isolation:
    connected = trouble()
    reasons = [without, connected and f"no sandbox without network: {connected}"]
    return Isolation(level, not connected, None, "; ".join(filter(None, reasons)))
