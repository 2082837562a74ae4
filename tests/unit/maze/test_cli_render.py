"""Tables, documents and the words for times and sizes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import pytest

from maze.cli._render import ago, amount, echo_json, echo_pairs, echo_table, mebibytes, milliseconds


class Terminal(io.StringIO):
    """A stdout that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def test_tables_for_pipes(capsys):
    echo_table(("A", "B"), [(1, "x\ty"), ("two\nlines", "")])
    assert capsys.readouterr().out == "A\tB\n1\tx y\ntwo lines\t\n"


def test_tables_for_terminals(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with redirect_stdout(Terminal()) as screen:
        echo_table(("NAME", "N"), [("[bold]kept[/bold]", 1)])
    assert "NAME" in screen.getvalue()
    assert "[bold]kept[/bold]" in screen.getvalue()
    assert "\t" not in screen.getvalue()


def test_pairs(capsys):
    echo_pairs([("a", 1), ("long", "x")])
    assert capsys.readouterr().out == "a\t1\nlong\tx\n"


def test_pairs_for_terminals():
    with redirect_stdout(Terminal()) as screen:
        echo_pairs([("a", 1), ("long", "x")])
    assert screen.getvalue() == "a     1\nlong  x\n"


def test_documents(capsys):
    echo_json({"name": "ü"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"name": "ü"}
    assert "ü" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (200_000, "2d")]
)
def test_ago(seconds, text):
    assert ago(1_000.0, 1_000.0 + seconds) == text


def test_ago_of_nothing_and_of_the_future():
    assert ago(None) == ""
    assert ago(2_000.0, 1_000.0) == "0s"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.42, "0.4 ms"), (87.4, "87 ms"), (3_240, "3.2 s"), (252_000, "4m12s")],
)
def test_milliseconds(value, text):
    assert milliseconds(value) == text


def test_sizes():
    assert (mebibytes(512), mebibytes(24_000)) == ("512 MiB", "23.4 GiB")
    assert (amount(2.0), amount(0.5)) == ("2", "0.5")
