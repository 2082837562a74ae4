"""Arithmetic of comparisons: medians, and ratios of pairs with their spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["ratio_of", "row", "summary", "table"]


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
    """Return a comparison as a row of a Markdown table; a system without a figure gets a dash."""
    cells = [record["workload"], record["metric"]]
    cells += [f"{system}: {_spread(record.get(system))}" for system in record["systems"]]
    if len(record["systems"]) < 2:
        cells.append("")
    ratio = record.get("ratio")
    cells.append(f"**{ratio['median']:.2f}** ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio else "")
    return f"| {' | '.join(cells)} |"


def table(records: Sequence[dict[str, Any]]) -> str:
    """Return comparisons as a Markdown table."""
    head = ["| workload | figure | first | second | first / second |", "|---|---|---|---|---|"]
    return "\n".join(head + [row(record) for record in records])


def _spread(figures: dict[str, float] | None) -> str:
    if figures is None:
        return "–"
    return f"{_short(figures['median'])} ({_short(figures['least'])} to {_short(figures['most'])})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
