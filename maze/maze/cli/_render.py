"""How answers look: tables for terminals, tab-separated text for pipes, JSON for programs; times, sizes, durations.

Rules. Pure formatting and click.echo, which no command calls by itself: what comes from elsewhere is escaped here.
Nothing here asks the head. rich is loaded only to draw a table on a terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from maze_protocol.shown import BREAKS, one_line, shown, shown_json

__all__ = [
    "ago", "amount", "echo", "echo_json", "echo_pairs", "echo_table", "json_line", "json_option", "mebibytes",
    "milliseconds",
]  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text to stdout or stderr."""
    click.echo(shown(text, keep=BREAKS), err=err)


def echo_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(shown_json(json.dumps(document, indent=2, ensure_ascii=False)))


def json_line(document: Any) -> str:
    """Return a JSON document as one line."""
    return shown_json(json.dumps(document, ensure_ascii=False))


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: drawn on a terminal, tab-separated with a header line otherwise."""
    texts = [[one_line(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (list(columns), *texts):
            click.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in texts:
        table.add_row(*map(Text, line))
    Console().print(table)


def echo_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, aligned on a terminal, tab-separated otherwise."""
    items = [(one_line(name), one_line(str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in items), default=0)
    for name, value in items:
        click.echo(f"{name:<{width}}  {value}" if sys.stdout.isatty() else f"{name}\t{value}")


def ago(moment: float | None, now: float | None = None) -> str:
    """Return how long ago a Unix time was: `12s`, `5m`, `3h`, `2d`; nothing for None."""
    if moment is None:
        return ""
    seconds = max(0, int((time.time() if now is None else now) - moment))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def milliseconds(value: float | None) -> str:
    """Return a duration: `0.4 ms`, `87 ms`, `3.2 s`, `4m12s`; nothing for None."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} ms"
    if value < 1_000:
        return f"{value:.0f} ms"
    seconds = value / 1_000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def mebibytes(value: float) -> str:
    """Return an amount of memory given in MiB."""
    return f"{value / 1024:.1f} GiB" if value >= 1024 else f"{value:.0f} MiB"


def amount(value: float) -> str:
    """Return a number of CPUs without a needless fraction."""
    return f"{value:g}"
