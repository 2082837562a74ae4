"""What a head said of runs that were submitted here and that nobody reads yet. No I/O.

Who submits a run mostly reads it next, so the head is asked to send its events at once; they wait here for a stream
that reads the run from its beginning. FOLLOWED runs at most wait so, with FOLLOWED_BYTES each; what does not is read
as any other run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from maze_protocol.limits import KIB
from maze_protocol.streams import End

if TYPE_CHECKING:
    from maze_protocol.streams import Events, Log

__all__ = ["FOLLOWED", "FOLLOWED_BYTES", "Followed"]

FOLLOWED: Final = 16
FOLLOWED_BYTES: Final = 256 * KIB


class _Run:
    __slots__ = ("over", "pause", "run_id", "size", "told")

    def __init__(self, run_id: str, pause: float) -> None:
        self.run_id = run_id
        self.pause = pause
        self.told: list[Events | Log | End] = []
        self.size = 0
        self.over = False


class Followed:
    """Runs on one event socket that are followed, by the numbers of their submissions."""

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._runs

    @property
    def room(self) -> bool:
        """Tell whether another run may be followed."""
        return len(self._runs) < FOLLOWED

    def begin(self, number: int, run_id: str, pause: float) -> None:
        """Follow a run that is being submitted, whose events may wait `pause` seconds for more of them."""
        self._runs[number] = _Run(run_id, pause)

    def keep(self, number: int, told: Events | Log | End, size: int) -> bool:
        """Keep what was said of a run, in so many bytes; return False if that is too much."""
        run = self._runs[number]
        run.told.append(told)
        run.size += size
        run.over = isinstance(told, End) or told.sealed
        return run.size <= FOLLOWED_BYTES

    def take(self, run_id: str, pause: float) -> tuple[int, list[Events | Log | End]] | None:
        """Return the number of a run and what was said of it, for who reads it; None if it is not followed like that.

        Who reads others will hardly read those any more that are over, and the next ones shall have room.
        """
        wanted = run_id, pause
        for number, run in self._runs.items():
            if (run.run_id, run.pause) == wanted:
                del self._runs[number]
                return number, run.told
        self._runs = {number: run for number, run in self._runs.items() if not run.over}
        return None

    def forget(self, number: int) -> bool:
        """Follow a run no more; return whether there was one of which more would have been said."""
        run = self._runs.pop(number, None)
        return run is not None and not run.over

    def clear(self) -> None:
        """Follow none: the head is gone."""
        self._runs.clear()
