"""Named limits of the cluster: how many units may be held at once, and how many may be begun in a time.

Rules
* A name that nobody has set holds nobody back. What is held of it is counted all the same, so that a limit set later
  knows of what runs already.
* Concurrency: the units of all attempts in force under a name never grow past the limit. One that is set below what is
  held takes nothing away; it only stops new attempts.
* Rate: GCRA, the cell rate algorithm of ITU-T I.371 (1993), annex A, in its virtual-scheduling form: a bucket as one
  number, the time at which it is full again. A bucket holds what one second gives, and at least one unit and what half
  a second gives, since nobody may look for so long. So N per minute means one start every 60/N s, never a burst of a
  whole period, and in any t seconds at most t x rate + one bucket begin. Whoever asks for more than a bucket holds
  waits for a full one and leaves a debt behind, so the long-run rate stays exact and no rate makes a task infeasible.
  Units are spent at the lease and do not come back: not of an attempt that never began, either.
* A head that starts again takes back what the restored leases hold, and begins with full buckets: that is what an idle
  second gives.

Each call costs as many steps as the task has names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from maze_protocol.rates import Rate

__all__ = ["Allowances", "Lack", "Limit"]

BUCKET_SECONDS: Final = 1.0
LATE_SECONDS: Final = 0.5
"""How late a pass may come, two ticks of the driver, without a unit being lost for it."""
_EPSILON: Final = 1e-6
"""Rounding must not cost a unit that is due."""

Units = tuple[tuple[str, int], ...]
"""Names with how many units of each, as Terms.limits."""


class Limit(NamedTuple):
    """What is allowed under a name; None: no bound of that kind."""

    concurrency: int | None = None
    rate: Rate | None = None


class Lack(NamedTuple):
    """Why a task may not start now."""

    name: str
    why: str
    seconds: float | None
    """Until it may, if time alone settles it."""


class _Bucket:
    """The rate of one name."""

    __slots__ = ("_depth", "_full_at", "_interval", "rate")

    def __init__(self, rate: Rate, debt: float, now: float) -> None:
        self.rate = rate
        self._interval = rate.seconds / rate.units
        self._depth = max(BUCKET_SECONDS, self._interval + LATE_SECONDS) / self._interval
        self._full_at = now + debt * self._interval

    def wait(self, units: int, now: float) -> float:
        """Return in how many seconds so many units may be spent; 0 for now."""
        seconds = self._full_at - now - (self._depth - min(units, self._depth)) * self._interval
        return seconds if seconds > _EPSILON else 0.0

    def spend(self, units: int, now: float) -> None:
        self._full_at = max(self._full_at, now) + units * self._interval

    def missing(self, now: float) -> float:
        """Return how many units are missing from a full bucket."""
        return max(0.0, self._full_at - now) / self._interval


class Allowances:
    """All named limits, and what is used of them."""

    __slots__ = ("_buckets", "held", "limits")

    def __init__(self) -> None:
        self.limits: dict[str, Limit] = {}
        self.held: dict[str, int] = {}
        """Units of the attempts in force, by name; also of names without a limit."""
        self._buckets: dict[str, _Bucket] = {}

    def set(self, name: str, limit: Limit, now: float) -> None:
        """Set or change a limit; units already spent of its rate stay spent."""
        self.limits[name] = limit
        before = self._buckets.pop(name, None)
        if limit.rate is not None:
            self._buckets[name] = _Bucket(limit.rate, before.missing(now) if before else 0.0, now)

    def remove(self, name: str) -> None:
        """Let a name hold nobody back any more."""
        del self.limits[name]
        self._buckets.pop(name, None)

    def admits(self, limits: Units, now: float) -> bool:
        """Tell whether a task with these limits may start now."""
        return not limits or self.lacking(limits, now) is None

    def has_room(self, limits: Units) -> bool:
        """Tell whether so many more units may be held at once, whatever the rates say."""
        return not any(self._is_full(name, units) for name, units in limits)

    def _is_full(self, name: str, units: int) -> bool:
        most = self.limits[name].concurrency if name in self.limits else None
        return most is not None and self.held.get(name, 0) + units > most

    def lacking(self, limits: Units, now: float) -> Lack | None:
        """Return the first limit that holds a task back, or None if it may start."""
        for name, units in limits:
            limit = self.limits.get(name)
            if limit is not None and (lack := self._lack(name, limit, units, now)) is not None:
                return lack
        return None

    def _lack(self, name: str, limit: Limit, units: int, now: float) -> Lack | None:
        most, held = limit.concurrency, self.held.get(name, 0)
        if most is not None and held + units > most:
            return Lack(name, f"{held} of {most} units of limit {name!r} are held, and it needs {units}", None)
        bucket = self._buckets.get(name)
        seconds = bucket.wait(units, now) if bucket else 0.0
        if bucket is None or not seconds:
            return None
        return Lack(name, f"limit {name!r} lets {bucket.rate} begin, the next in {seconds:.3g} s", seconds)

    def pause(self, name: str, now: float) -> float:
        """Return in how many seconds the rate of a name lets one more unit begin; 0 for now."""
        bucket = self._buckets.get(name)
        return bucket.wait(1, now) if bucket else 0.0

    def impossible(self, limits: Units) -> str | None:
        """Return the first name of which a task asks for more than is ever allowed at once, or None."""
        for name, units in limits:
            most = self.limits[name].concurrency if name in self.limits else None
            if most is not None and units > most:
                return name
        return None

    def take(self, limits: Units, now: float) -> None:
        """Count the units of an attempt that begins."""
        for name, units in limits:
            self.held[name] = self.held.get(name, 0) + units
            bucket = self._buckets.get(name)
            if bucket is not None:
                bucket.spend(units, now)

    def restore(self, limits: Units) -> None:
        """Count the units of an attempt that began before, and spent them then."""
        for name, units in limits:
            self.held[name] = self.held.get(name, 0) + units

    def give_back(self, limits: Units) -> None:
        """Count the units of an attempt as free again."""
        for name, units in limits:
            left = self.held[name] - units
            assert left >= 0, f"limit {name!r}: more units came back than were held"
            if left:
                self.held[name] = left
            else:
                del self.held[name]
