"""What is printed, to the letter."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import Any

import pytest

from maze._collector import Collector
from maze._report import RunReport, print_line, print_message
from maze._results import Entry, Retry, RunRecord, Step
from maze._watch import Wait

TASK = "task_12345678" + "0" * 24


def started() -> Entry:
    return Entry({"type": "start_task", "data": {"task_id": TASK, "node_ip": "127.0.0.1"}})


def finished(**result: Any) -> Entry:
    return Entry({"type": "finish_task", "data": {"task_id": TASK, "result": result}})


def failed(error: str) -> Entry:
    return Entry({"type": "task_exception", "data": {"task_id": TASK, "result": "Traceback …"}}, error)


def show(*entries: Step, skipped: int = 0, cancelled: bool = False) -> None:
    with RunReport("run_1") as report:
        report.connected()
        for entry in entries:
            report.step(entry)
        report.finished(RunRecord("run_1", list(entries), len(entries), skipped, cancelled))


def test_a_run_prints_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    show(started(), finished(result="HELLO WORLD", count=3), Entry({"type": "finish_workflow", "data": {}}))
    assert capsys.readouterr().out.splitlines() == [
        "🔗 Connected to server, starting workflow execution...",
        "▶ Task started: task_12345678",
        "✓ Task completed: task_12345678",
        "  result: HELLO WORLD",
        "  count: 3",
        "✅ Workflow execution completed!",
    ]


def test_a_failure_prints_its_short_error(capsys: pytest.CaptureFixture[str]) -> None:
    show(started(), failed("ZeroDivisionError: division by zero"), skipped=2)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "❌ Task failed: task_12345678",
        "  error: ZeroDivisionError: division by zero",
        "⏭ 2 dependent tasks skipped",
        "⚠️ Workflow execution completed with exceptions",
    ]


def test_a_retry_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    retries = (
        Retry(TASK, "ValueError: bad thing", 1.23, 2, 4),
        Retry(TASK, "WorkerCrashed: SIGKILL", 0.01),
        Retry(TASK, "Odd: \x1b[31m", 0.0, 3, 4),
    )
    show(started(), *retries, finished())
    assert capsys.readouterr().out.splitlines()[1:-1] == [
        "▶ Task started: task_12345678",
        "🔁 Task retrying: task_12345678 in 1.2 s after ValueError: bad thing (attempt 2 of 4)",
        "🔁 Task retrying: task_12345678 after WorkerCrashed: SIGKILL",
        "🔁 Task retrying: task_12345678 after Odd: \\x1b[31m (attempt 3 of 4)",
        "✓ Task completed: task_12345678",
    ]


def test_why_tasks_wait_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with RunReport("run_1") as report:
        report.stuck([Wait(TASK, 0, "it asks for 8 CPUs"), Wait(TASK, 41, "n1 is\x07 busy")])
    assert capsys.readouterr().out.splitlines() == [
        "⏳ task_12345678 waits: it asks for 8 CPUs",
        "⏳ task_12345678 and 41 more wait: n1 is\\x07 busy",
    ]


def test_a_reused_result_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    show(replace(started(), reused=True), replace(finished(y=1), reused=True))
    assert capsys.readouterr().out.splitlines()[1:-1] == ["♻ Result reused: task_12345678", "  y: 1"]


def test_a_cancelled_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show(cancelled=True)
    assert capsys.readouterr().out.splitlines()[-1] == "⏹ Workflow execution cancelled"


def test_waiting_is_told_once_with_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with RunReport("run_1") as report:
        report.waiting("")
        report.waiting("maze-node")
        report.waiting("maze-node")
    assert capsys.readouterr().out == "⏳ Waiting: no node is ready. Start one with: maze-node\n"


def test_ctrl_c_detaches_and_says_how_to_cancel(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), RunReport("run_1"):
        raise KeyboardInterrupt
    assert capsys.readouterr().out == "Detached: the run goes on. To stop it: maze cancel run_1\n"


def test_messages_print_raw(capsys: pytest.CaptureFixture[str]) -> None:
    print_message({"type": "finish_workflow", "data": {}})
    assert capsys.readouterr().out == "{'type': 'finish_workflow', 'data': {}}\n"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("x" * 3000, "x" * 2000 + "… (3000 characters)"),
        ([1, None], "[1, None]"),
        (Hostile(), "<Hostile: RuntimeError in __str__>"),
    ],
)
def test_values_are_shown_without_harm(capsys: pytest.CaptureFixture[str], value: Any, text: str) -> None:
    show(finished(y=value))
    assert f"  y: {text}\n" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_a_terminal_cannot_show_is_replaced(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors="strict", write_through=True))
    print_line("🔗 ok")
    assert raw.getvalue() == b"? ok\n"


def test_without_stdout_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    show(started())


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def collector(done: int, total: int) -> Collector:
    made = Collector("run_1")
    made.done, made.record.total = done, total
    return made


def test_a_terminal_gets_a_progress_line_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with RunReport("run_1") as report:
        report.progress(collector(1, 4))
        report.progress(collector(2, 4))
        report.step(started())
    assert terminal.getvalue() == "⏳ 1/4 tasks done\r\x1b[2K▶ Task started: task_12345678\n"


def test_the_progress_line_comes_back_below_what_was_printed_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with RunReport("run_1") as report:
        report.progress(collector(1, 4))
        report.step(started())
        report.progress(collector(1, 4))
        assert terminal.getvalue().endswith("Task started: task_12345678\n⏳ 1/4 tasks done")


@pytest.mark.parametrize("term", ["dumb", None])
def test_elsewhere_there_is_no_progress_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str | None
) -> None:
    if term is not None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", term)
    with RunReport("run_1") as report:
        report.progress(collector(1, 4))
    assert capsys.readouterr().out == ""
