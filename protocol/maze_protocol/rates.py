"""A rate as people write it: `500/min`. Standard library only.

Units are whole numbers; a period is a second, a minute, an hour or a day. Whoever wants half a unit per second writes
`30/min`. How a rate is kept is the head's affair (core/allowances.py).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["MAX_UNITS", "Rate", "parse_rate"]

MAX_UNITS: Final = 1_000_000
_PERIODS: Final = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "day": 86_400}
_SHOWN: Final = {1: "s", 60: "min", 3600: "h", 86_400: "day"}
_FORM: Final = re.compile(r"([0-9]{1,9}) ?/ ?([a-z]{1,6})", re.ASCII)


class Rate(NamedTuple):
    """So many units in so many seconds."""

    units: int
    seconds: int

    def __str__(self) -> str:
        """Return the form that `parse_rate` reads."""
        return f"{self.units}/{_SHOWN[self.seconds]}"


def parse_rate(text: str) -> Rate:
    """Return the rate that a text tells.

    Raises:
        ValueError: it is not of the form `500/min`, or the amount is out of range.
    """
    match = _FORM.fullmatch(text.strip())
    seconds = _PERIODS.get(match[2]) if match else None
    if match is None or seconds is None:
        raise ValueError(f"{text[:40]!r} is no rate: write units/period, as 500/min; periods are s, min, h, day")
    units = int(match[1])
    if not 1 <= units <= MAX_UNITS:
        raise ValueError(f"a rate of {units}: allowed are 1 to {MAX_UNITS} units in a period")
    return Rate(units, seconds)
