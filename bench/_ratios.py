"""Arithmetic of comparisons: medians, and ratios of pairs with their spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["ratio_of", "row", "summary"]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median and range."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def ratio_of(ones: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the ratio one / other of each pair, as median and range.

    Raises:
        ValueError: there are not as many of the one as of the other, or none.
    """
    if len(ones) != len(others) or not ones:
        raise ValueError(f"{len(ones)} and {len(others)} measurements make no pairs")
    return summary([one / other for one, other in zip(ones, others, strict=True)])


def row(record: dict[str, Any]) -> str:
    """Return a comparison as a row of a Markdown table."""
    one, other = record["systems"]
    first, second, ratio = record[one], record[other], record["ratio"]
    cells = [
        record["workload"],
        record["metric"],
        f"{_short(first['median'])} ({_short(first['least'])} to {_short(first['most'])})",
        f"{other}: {_short(second['median'])} ({_short(second['least'])} to {_short(second['most'])})",
        f"**{ratio['median']:.2f}** ({ratio['least']:.2f} to {ratio['most']:.2f})",
    ]
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
