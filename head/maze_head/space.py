"""Whether the disk lets the head promise anything: a small machine, pure, fed with what commits and the disk say.

    WRITABLE --a commit failed--> READ_ONLY --commits succeed, room for the ballast and to spare--> WRITABLE

The ballast is space taken in advance. Given up, it lets the batch at hand be committed, and the facts of liveness
(a node lost, a link gone) that cannot be refused; everything else waits or is refused until it is taken again.
"""

from __future__ import annotations

from typing import Final

from maze_protocol.limits import MIB

__all__ = ["Space"]

LEAST_SPARE: Final = MIB
SPARE_PART: Final = 4
"""A disk is good again with room for the ballast and a quarter more: else the next commit would fill it again."""


class Space:
    """The state of one head's disk."""

    def __init__(self, ballast: int) -> None:
        self.needed: Final = ballast + max(LEAST_SPARE, ballast // SPARE_PART) if ballast else LEAST_SPARE
        """Free bytes with which the head is writable again."""
        self.read_only = False
        self.times_full = 0

    def fill(self) -> None:
        """Take note that a commit failed, or that there is no room for the ballast."""
        if not self.read_only:
            self.read_only = True
            self.times_full += 1

    def is_good_with(self, free: int, *, failing: bool) -> bool:
        """Tell whether a read-only head may try to take the ballast again.

        Args:
            free: bytes that the file system has left.
            failing: whether a batch is being tried again right now.
        """
        return not failing and free >= self.needed

    def recover(self) -> None:
        """Take note that the ballast is there again."""
        self.read_only = False
