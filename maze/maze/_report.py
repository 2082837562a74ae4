"""All printing of the SDK. Nothing else in it prints, and nothing here asks a head.

`sys.stdout` is looked up at each line, so that redirections and notebook cells get what is theirs. Characters that a
terminal's encoding lacks are replaced, never an error; those that would drive it are escaped. A progress line is drawn
on a real terminal only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from maze._results import Entry, Retry
from maze_protocol.ids import short_id
from maze_protocol.shown import BREAKS, shown

if TYPE_CHECKING:
    from maze._collector import Collector
    from maze._results import RunRecord, Step
    from maze._watch import Wait

__all__ = ["RunReport", "print_line", "print_message"]

VALUE_LENGTH: Final = 2_000
PROGRESS_SECONDS: Final = 0.1
_SHOWN_PAUSE: Final = 0.05
"""Seconds; a shorter pause would be shown as none."""
_ERASE: Final = "\r\x1b[2K"
_FINISHED: Final = "✅ Workflow execution completed!"
_WITH_EXCEPTIONS: Final = "⚠️ Workflow execution completed with exceptions"


def print_line(text: str) -> None:
    """Print text; what would drive the terminal is escaped, what its encoding lacks is replaced."""
    _write(shown(text, keep=BREAKS) + "\n")


def print_message(message: Mapping[str, Any]) -> None:
    """Print a raw message, as `get_results(verbose=True)` does."""
    print_line(str(message))


class RunReport:
    """What `show_results` prints of one run, while it goes on; a context manager that leaves the screen clean."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._terminal = _is_terminal()
        self._drawn_at = 0.0
        self._drawn = False
        self._told_waiting = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._erase()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print_line(f"Detached: the run goes on. To stop it: maze cancel {self.run_id}")

    def connected(self) -> None:
        """Say that the run was found."""
        self._line("🔗 Connected to server, starting workflow execution...")

    def step(self, step: Step) -> None:
        """Say what happened to a task."""
        if isinstance(step, Retry):
            self._line(_retrying(step))
        else:
            self._entry(step)

    def _entry(self, entry: Entry) -> None:
        kind, data = entry.message["type"], entry.message["data"]
        if kind == "finish_workflow":
            return
        short = short_id(data["task_id"])
        if kind == "start_task" and not entry.reused:
            self._line(f"▶ Task started: {short}")
        elif kind == "finish_task":
            self._line(f"♻ Result reused: {short}" if entry.reused else f"✓ Task completed: {short}")
            for key, value in data["result"].items():
                self._line(f"  {shown(key)}: {_shown(value)}")
        elif kind == "task_exception":
            self._line(f"❌ Task failed: {short}")
            self._line(f"  error: {_shown(entry.error)}")

    def progress(self, collector: Collector) -> None:
        """Draw how far the run is, on a terminal; again when lines took its place, else not too often."""
        total = collector.record.total
        now = time.monotonic()
        if self._terminal and total and (not self._drawn or now - self._drawn_at >= PROGRESS_SECONDS):
            self._erase()
            _write(f"⏳ {collector.done}/{total} tasks done")
            self._drawn, self._drawn_at = True, now

    def waiting(self, command: str) -> None:
        """Say, once, that no node can take the run's tasks, and what to type; nothing if that is not so."""
        if command and not self._told_waiting:
            self._line(f"⏳ Waiting: no node is ready. Start one with: {command}")
            self._told_waiting = True

    def stuck(self, waits: Iterable[Wait]) -> None:
        """Say why tasks that could start do not."""
        for wait in waits:
            verb = f"and {wait.others} more wait" if wait.others else "waits"
            self._line(f"⏳ {short_id(wait.task_id)} {verb}: {_shown(wait.reason)}")

    def finished(self, record: RunRecord) -> None:
        """Say how the run ended."""
        failed = any(entry.message["type"] == "task_exception" for entry in record.entries)
        if record.skipped:
            self._line(f"⏭ {record.skipped} dependent task{'s' * (record.skipped > 1)} skipped")
        if record.cancelled:
            self._line("⏹ Workflow execution cancelled")
        else:
            self._line(_WITH_EXCEPTIONS if failed else _FINISHED)

    @property
    def on_terminal(self) -> bool:
        """Say whether somebody watches."""
        return self._terminal

    def saved(self, path: Path) -> None:
        """Say where a file of the results is."""
        self._line(f"📁 Saved: {_shown(str(path))}")

    def _line(self, text: str) -> None:
        self._erase()
        print_line(text)

    def _erase(self) -> None:
        if self._drawn:
            _write(_ERASE)
            self._drawn = False


def _retrying(retry: Retry) -> str:
    """Return what is said of a task that is tried again."""
    when = f" in {retry.pause:.1f} s" if retry.pause >= _SHOWN_PAUSE else ""
    count = f" (attempt {retry.attempt} of {retry.attempts})" if retry.attempt else ""
    return f"🔁 Task retrying: {short_id(retry.task_id)}{when} after {_shown(retry.error)}{count}"


def _shown(value: Any) -> str:
    """Return a value as text that is not endless."""
    text = value if isinstance(value, str) else _text(value)
    if len(text) > VALUE_LENGTH:
        return f"{text[:VALUE_LENGTH]}… ({len(text)} characters)"
    return text


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 -- a user's __str__ must not end the report of everything else
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"


def _write(text: str) -> None:
    stream = sys.stdout
    if stream is None:  # pythonw, or a daemon that closed it
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def _is_terminal() -> bool:
    stream = sys.stdout
    is_tty = getattr(stream, "isatty", None)
    return bool(is_tty and is_tty()) and os.environ.get("TERM") != "dumb"
