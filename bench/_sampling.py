"""Where a process spends its CPU time. No measuring of Maze here.

* `Samples`: after each millisecond of CPU time a signal reads what the main thread's CPU clock gained, and puts it down
  to the functions that it is in. A long call into C counts where it was made.
* `Threads`: a thread of its own does the same for all threads. It sees them mostly where they let go of the interpreter
  lock, so what waits or writes looks dearer than it is.
* `Calls`: cProfile of the main thread; it counts calls, and makes small functions look dear.
"""

from __future__ import annotations

import cProfile
import pstats
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["KINDS", "Calls", "Samples", "Threads"]

_INTERVAL_S = 0.001
_MOST = 45


class Spent:
    """CPU nanoseconds by function and line."""

    def __init__(self) -> None:
        self._own: Counter[CodeType] = Counter()
        self._lines: Counter[tuple[CodeType, int]] = Counter()
        self._within: Counter[CodeType] = Counter()
        self._stacks: Counter[tuple[CodeType, ...]] = Counter()

    def add(self, frame: FrameType, gained: int) -> None:
        """Put so much down to a frame and those that called it."""
        self._own[frame.f_code] += gained
        self._lines[frame.f_code, frame.f_lineno] += gained
        stack = []
        above: FrameType | None = frame
        while above is not None:
            stack.append(above.f_code)
            above = above.f_back
        self._stacks[tuple(stack)] += gained
        for code in set(stack):
            self._within[code] += gained

    def report(self) -> dict[str, Any]:
        """Return CPU milliseconds by function and by line, by themselves and with what they called; and all stacks."""
        return {
            "cpu_ms": round(sum(self._own.values()) / 1e6, 1),
            "own": _rows(self._own, _name),
            "with_callees": _rows(self._within, _name),
            "lines": _rows(self._lines, lambda place: f"{_name(place[0])}:{place[1]}"),
            "stacks": [
                {"ms": spent / 1e6, "frames": [_name(code) for code in stack]} for stack, spent in self._stacks.items()
            ],
        }


class Samples:
    """CPU time by function, of the main thread."""

    def __init__(self) -> None:
        self._spent = Spent()
        self._before = 0

    def start(self) -> None:
        """Begin to look (in the main thread)."""
        self._before = time.thread_time_ns()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def stop(self) -> dict[str, Any]:
        """Return CPU milliseconds by function and by line."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        return self._spent.report()

    def _look(self, _number: int, frame: FrameType | None) -> None:
        now = time.thread_time_ns()
        if frame is not None:
            self._spent.add(frame, now - self._before)
        self._before = time.thread_time_ns()


class Threads:
    """CPU time by function, of all threads."""

    def __init__(self) -> None:
        self._spent = Spent()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Return CPU milliseconds by function and by line."""
        self._ended.set()
        self._thread.join()
        return self._spent.report()

    def _watch(self) -> None:
        clocks = _clocks()
        me = threading.get_ident()
        while not self._ended.wait(_INTERVAL_S):
            frames, now = sys._current_frames(), _clocks()
            for thread, spent in now.items():
                frame = frames.get(thread)
                if thread != me and frame is not None and (gained := spent - clocks.get(thread, 0)):
                    self._spent.add(frame, gained)
            clocks = now


class Calls:
    """cProfile of the main thread."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def start(self) -> None:
        """Begin to count."""
        self._profile.enable()

    def stop(self) -> dict[str, Any]:
        """Return milliseconds, and calls and milliseconds by function: by themselves, and with what they called."""
        self._profile.disable()
        found = pstats.Stats(self._profile).stats  # type: ignore[attr-defined]
        dearest = sorted(found.items(), key=lambda each: -each[1][2])[:_MOST]
        return {
            "cpu_ms": round(1e3 * sum(each[2] for each in found.values()), 1),
            "own": [
                {
                    "ms": round(1e3 * own, 1),
                    "with_callees_ms": round(1e3 * within, 1),
                    "calls": calls,
                    "where": _place(at),
                }
                for at, (_, calls, own, within, _) in dearest
            ],
        }


KINDS: dict[str, type[Samples] | type[Threads] | type[Calls]] = {"samples": Samples, "threads": Threads, "calls": Calls}


def _clocks() -> dict[int, int]:
    """Return the CPU nanoseconds of each live thread."""
    found = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            try:
                found[thread.ident] = time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
            except OSError:  # it has just ended
                continue
    return found


def _rows(counted: Counter[Any], named: Callable[[Any], str]) -> list[dict[str, Any]]:
    return [{"ms": round(spent / 1e6, 1), "where": named(place)} for place, spent in counted.most_common(_MOST)]


def _name(code: CodeType) -> str:
    return f"{_short(code.co_filename)} {code.co_qualname}"


def _place(at: tuple[str, int, str]) -> str:
    return f"{_short(at[0])}:{at[1]} {at[2]}"


def _short(path: str) -> str:
    return "/".join(path.split("/")[-3:])
