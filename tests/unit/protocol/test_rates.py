"""Rates as people write them."""

from __future__ import annotations

import pytest

from maze_protocol.rates import MAX_UNITS, Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500/min", Rate(500, 60)),
        (" 20 / s ", Rate(20, 1)),
        ("1/second", Rate(1, 1)),
        ("10/minute", Rate(10, 60)),
        ("7/h", Rate(7, 3600)),
        ("7/hour", Rate(7, 3600)),
        (f"{MAX_UNITS}/day", Rate(MAX_UNITS, 86_400)),
    ],
)
def test_a_rate_is_read_and_written_back(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "5", "/min", "5/", "5/week", "-5/s", "0.5/s", "5/s/s", "٣/s", "5/S", "1e3/s", "9" * 5000 + "/s"]
)
def test_what_is_no_rate_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate: write units/period, as 500/min"):
        parse_rate(text)


@pytest.mark.parametrize("units", [0, MAX_UNITS + 1])
def test_a_rate_out_of_range_is_refused(units: int) -> None:
    with pytest.raises(ValueError, match=f"allowed are 1 to {MAX_UNITS}"):
        parse_rate(f"{units}/s")
