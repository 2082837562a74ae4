"""No name, value or message breaks out of a rendering: lines stay lines, cells cells, labels labels, fields fields."""

from __future__ import annotations

import io
import json
import logging
import re
from contextlib import redirect_stdout
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maze import _render, _report
from maze._daemon.logging import JsonFormatter, TextFormatter
from maze._graph import Graph
from maze.cli._render import echo, echo_json, echo_pairs, echo_table, json_line
from maze.cli.events import _line
from maze_head.core.errors import Invalid
from support.drafts import task_of

ODD = st.sampled_from(
    ["\n", "\r", "\t", "\x00", "\x1b[2J", "\x07", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800", '"',
     "#", "]", "<b>", "</b>", "[/]", "`", "\\", "$", "%%", "end", ";", " x=1", "\U000e0041", "名"]
)  # fmt: skip
TEXT = st.lists(ODD | st.text(max_size=5), max_size=8).map("".join)
IDS = tuple("task_" + digit * 32 for digit in "12")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
FACT = r' (\w+)=("(?:[^"\\]|\\.)*"|[^ "=]*)'


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def clean(text: str, lines: int | None = None) -> list[str]:
    """Assert that nothing but line breaks and tabs is unprintable, and return the lines."""
    found = text.split("\n")
    assert all(part.isprintable() for line in found for part in line.split("\t")), repr(text)
    assert lines is None or len(found) == lines
    return found


def graph(first: str, second: str) -> Graph:
    named = zip(IDS, (first, second), strict=True)
    return Graph([task_of(task_id, name, name) for task_id, name in named], {IDS: None})


@given(TEXT, TEXT)
def test_pictures(first: str, second: str) -> None:
    drawn = graph(first, second)
    clean("\n".join(_render.graph_lines(drawn)), 10)
    head, one, two, edge = clean(_render.mermaid(drawn), 4)
    assert (head, edge) == ("graph TD", f"    {IDS[0]} --> {IDS[1]}")
    for line, task_id in ((one, IDS[0]), (two, IDS[1])):
        assert re.fullmatch(rf'    {task_id}\["[^"<>`]*"\]', line)
    lines = clean(_render.dot_of(drawn, 50).source)
    assert len(lines) == 8  # with the one that its last line break begins
    for line, task_id in zip(lines[3:5], IDS, strict=True):
        assert re.fullmatch(rf'\t{task_id} \[label="(?:[^"\\]|\\.)*"\]', line)


@given(TEXT, TEXT)
def test_what_the_sdk_prints(name: str, value: str) -> None:
    with redirect_stdout(Screen()) as screen:
        _report.print_line(name)
        _report.print_message({"type": name, "data": {name: value}})
    clean(screen.getvalue())


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4), st.booleans())
def test_tables(rows: list[tuple[str, str]], terminal: bool) -> None:
    with redirect_stdout(Screen() if terminal else io.StringIO()) as screen:
        echo_pairs(rows)
        echo("-----")
        echo_table(("NAME", "WHY"), rows)
    pairs, _, table = screen.getvalue().partition("-----\n")
    clean(pairs, len(rows) + 1)
    # On a terminal the heads of columns are bold, and long cells go on below.
    clean(re.sub(r"\x1b\[[01]m", "", table), None if terminal else len(rows) + 2)


@given(TEXT, TEXT)
def test_documents(key: str, value: str) -> None:
    with redirect_stdout(io.StringIO()) as screen:
        echo_json({key: [value]})
    text = screen.getvalue()
    clean(text, 6)
    assert json.loads(text) == json.loads(json_line({key: [value]})) == json.loads(json.dumps({key: [value]}))


@given(TEXT, TEXT)
def test_events(name: str, text: str) -> None:
    data = {"task_id": IDS[0], "task_name": name, "text": text, "reason": text}
    event = {"seq": 1, "time": 0.0, "type": "task_warning", "data": data}
    assert len(clean(_line(event), 1)[0].split("\t")) <= 5


def record(message: str, facts: dict[str, Any], error: BaseException | None = None) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "maze_head", "msg": "%s", "args": (message,), "levelname": "INFO", **facts})
    made.exc_info = None if error is None else (type(error), error, None)
    return made


@given(TEXT, TEXT, TEXT)
def test_the_log(message: str, fact: str, trouble: str) -> None:
    made = record(message, {"node_id": fact, "reason": trouble}, ValueError(trouble))
    first, *others = clean(TextFormatter().format(made))
    assert all(line.startswith("  ") for line in others)
    facts = re.search(rf"{FACT}{FACT}$", first)
    assert re.match(STAMP, first)
    assert facts is not None
    assert (facts[1], facts[3]) == ("node_id", "reason")
    values = [json.loads(text) if text.startswith('"') else text for text in (facts[2], facts[4])]
    assert values == [fact, trouble]
    body = JsonFormatter().format(made)
    assert body.isascii()
    assert "\n" not in body
    assert json.loads(body)["message"] == message


@given(TEXT, TEXT, TEXT)
def test_refusals(message: str, hint: str, field: str) -> None:
    refusal = Invalid("bad", message, hint=hint, field=field)
    clean("\n".join((refusal.message, refusal.hint, refusal.field, str(refusal))), 4)
