"""Following the output of tasks: nothing twice, nothing missed, lost output skipped."""

from __future__ import annotations

import io
import sys

import pytest

from maze.cli._api import ApiError
from maze.cli.logs import _Reader


class FakeHead:
    """Serves captured output from a table, at most four bytes a time."""

    def __init__(self):
        self.output: dict[tuple[str, int, str], bytes] = {}
        self.dropped = 0
        self.error: ApiError | None = None
        self.asked = 0

    def raw(self, path, *, stream, attempt, offset, limit):
        self.asked += 1
        if self.error is not None:
            raise self.error
        task_id = path.split("/")[4]
        start = max(offset, self.dropped)
        return self.output.get((task_id, attempt, stream), b"")[start : start + 4], {"Maze-Log-Offset": str(start)}


def task(status: str, attempt: int = 1, name: str = "load", digit: str = "1") -> dict[str, object]:
    return {"task_id": f"task_{digit:0<32}", "name": name, "status": status, "attempt": attempt}


@pytest.fixture
def head():
    return FakeHead()


@pytest.fixture
def reader(head):
    return _Reader(head, "run_1", ("stdout", "stderr"), headed=False)


def put(head, data: bytes, stream: str = "stdout", attempt: int = 1, digit: str = "1") -> None:
    key = (f"task_{digit:0<32}", attempt, stream)
    head.output[key] = head.output.get(key, b"") + data


def test_growing_output_is_printed_once(head, reader, capfdbinary):
    put(head, b"one two ")
    reader.round([task("running")])
    put(head, b"three")
    put(head, b"oops", "stderr")
    reader.round([task("finished")])
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"one two three", b"oops")


def test_ended_tasks_are_read_once_more_and_then_left_alone(head, reader):
    reader.round([task("finished")])
    asked = head.asked
    reader.round([task("finished")])
    assert head.asked == asked


def test_waiting_tasks_have_nothing_to_say(head, reader):
    reader.round([task("waiting"), task("ready"), task("leased"), task("skipped")])
    assert head.asked == 0


def test_another_attempt_is_another_log(head, reader, capfdbinary):
    put(head, b"first")
    reader.round([task("running", 1)])
    put(head, b"again", attempt=2)
    reader.round([task("finished", 2)])
    assert capfdbinary.readouterr().out == b"firstagain"


def test_what_the_node_has_overwritten_is_skipped(head, reader, capfdbinary):
    put(head, b"0123456789")
    head.dropped = 6
    reader.round([task("finished")])
    assert capfdbinary.readouterr().out == b"6789"


@pytest.mark.parametrize("status", [404, 410, 503])
def test_lost_output_is_no_error(head, reader, status):
    head.error = ApiError(status, "gone", "gone")
    reader.round([task("finished")])


def test_other_refusals_are_errors(head, reader):
    head.error = ApiError(400, "bad", "bad query")
    with pytest.raises(ApiError):
        reader.round([task("finished")])


def test_headings_where_the_task_changes(head, capfdbinary):
    reader = _Reader(head, "run_1", ("stdout",), headed=True)
    put(head, b"a\n")
    put(head, b"b\n", digit="2")
    reader.round([task("running"), task("running", name="train", digit="2")])
    captured = capfdbinary.readouterr()
    assert captured.out == b"a\nb\n"
    assert captured.err == b"==> load (task_10000000) <==\n==> train (task_20000000) <==\n"


class Terminal(io.TextIOWrapper):
    """A stdout that claims to be a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("raw", [False, True])
def test_a_terminal_is_not_driven_by_what_a_task_wrote_unless_asked_for(head, reader, monkeypatch, raw):
    reader.raw = raw
    written = "\x1b[2J5 %\r90 %\r\n名\x9b\u202e ".encode() + b"\xff\n"
    screen = Terminal(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", screen)
    put(head, written)
    reader.round([task("finished")])
    expected = "\\x1b[2J5 %\n90 %\n名\\x9b\\u202e \\xff\n".encode()
    assert screen.buffer.getvalue() == (written if raw else expected)
