"""Durations as people and Slurm write them: `90`, `90s`, `15m`, `2h`, `1d`, `1h30m`, `2:30:00`, `1-02:03:04`.

A bare number means seconds. Slurm's forms with a colon are `MM:SS` and `HH:MM:SS`; with days before a dash the hours
come first: `D-HH`, `D-HH:MM`, `D-HH:MM:SS`.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["BadDuration", "parse_duration"]

_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_UNITS: Final = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_CLOCK: Final = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


class BadDuration(ValueError):
    """A text that is no duration."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no duration; write for example 90s, 15m, 2h or 1-02:03:04")


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        BadDuration: the text is not one.
    """
    word = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    units = _UNITS.findall(word)
    if units and "".join(number + unit for number, unit in units) == word:
        return sum(float(number) * _SECONDS[unit] for number, unit in units)
    clock = _CLOCK.fullmatch(word)
    if clock is None:
        raise BadDuration(text)
    return _clock_seconds(clock.group(1), [int(part) for part in clock.groups()[1:] if part is not None])


def _clock_seconds(days: str | None, parts: list[int]) -> float:
    if days is None and len(parts) < 3:
        parts = [0, *parts]  # MM:SS
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return float(int(days or 0) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
