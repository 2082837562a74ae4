"""Durations, as people and Slurm write them."""

from __future__ import annotations

import pytest

from maze._daemon.durations import BadDuration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("0.5", 0.5),
        ("1.5H", 5400), ("05:30", 330), ("01:00:00", 3600), ("1-02:03:04", 93_784), ("1-02", 93_600),
        ("1-02:03", 93_780), (" 7 ", 7), ("00:00:00", 0), ("2-00:00:00", 172_800),
    ],
)  # fmt: skip
def test_forms(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1x", "m", "1h30", "1:2:3:4", "1-", "UNLIMITED", "NaN", "1e3", "1 h", "1s-02"]
)
def test_others_are_named(text: str) -> None:
    with pytest.raises(BadDuration, match="write for example 90s, 15m, 2h or 1-02:03:04") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)
