"""What clients saw under faults, and whether it can have happened in a system that keeps its promises.

A history has three parts, recorded by different parties that cannot agree on a lie:

* operations of clients: invoked, and then `ok` (the head said 2xx), `fail` (it refused) or `info` (no answer came:
  it may or may not have happened);
* side effects: every execution of a task appends `start pid time` and `end pid time` to a file of its own;
* event logs as several subscribers read them, each in its own way, over as many connections as it took.

The checks are functions of these records and return what is wrong, as text; an empty list is a pass. They know nothing
of how a cluster is run, so test_history.py can show each of them a history that must not pass.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "fail", "info"]
Event = dict[str, Any]
OVER = ("finish_task", "task_exception", "task_skipped", "task_cancelled", "task_reused")
SEALING = ("finish_workflow", "cancel_workflow")


@dataclass(frozen=True)
class Operation:
    """One request of a client and what became of it. Times are of the system's monotonic clock."""

    kind: str
    key: str
    outcome: Outcome
    began: float
    ended: float
    answer: Any = None


@dataclass(frozen=True)
class Execution:
    """One execution of a task's body, told by its side effects."""

    task: str
    pid: int
    started: float
    ended: float | None
    """None: it was cut short."""


@dataclass
class History:
    """Everything that was recorded; safe to use from several threads."""

    operations: list[Operation] = field(default_factory=list)
    logs: dict[str, dict[str, list[Event]]] = field(default_factory=dict)
    """By run, then by subscriber."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, key: str, outcome: Outcome, began: float, answer: Any = None) -> None:
        """Record an operation that ends now."""
        with self._lock:
            self.operations.append(Operation(kind, key, outcome, began, time.monotonic(), answer))

    def keep_log(self, run_id: str, subscriber: str, events: list[Event]) -> None:
        """Record what a subscriber has read of a run."""
        with self._lock:
            self.logs.setdefault(run_id, {})[subscriber] = events

    def acknowledged(self, kind: str) -> list[str]:
        """Return the keys of the operations of a kind that were answered with ok, each once."""
        return list(dict.fromkeys(each.key for each in self.operations if each.kind == kind and each.outcome == "ok"))


def executions(folder: Path) -> dict[str, list[Execution]]:
    """Read the side effects of all tasks, oldest execution first."""
    return {path.name: _executions_of(path) for path in sorted(folder.iterdir())}


def _executions_of(path: Path) -> list[Execution]:
    found: list[Execution] = []
    for line in path.read_text().splitlines():
        word, pid, moment = line.split()
        if word == "start":
            found.append(Execution(path.name, int(pid), float(moment), None))
            continue
        index = max(index for index, each in enumerate(found) if each.pid == int(pid) and each.ended is None)
        found[index] = Execution(path.name, int(pid), found[index].started, float(moment))
    return found


def check_acknowledged(history: History, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every submission that was acknowledged exists and has ended; none that was only refused exists."""
    acknowledged = history.acknowledged("submit")
    wrong = [f"{key} was acknowledged and is lost" for key in acknowledged if key not in runs]
    wrong += [f"{key} never ended: {runs[key]}" for key in acknowledged if key in runs and not runs[key]["sealed"]]
    maybe = {each.key for each in history.operations if each.kind == "submit" and each.outcome != "fail"}
    refused = {each.key for each in history.operations if each.outcome == "fail"} - maybe
    return wrong + [f"{key} was refused and is there" for key in sorted(refused & set(runs))]


def check_own_writes(history: History) -> list[str]:
    """Whoever reads a run after its submission was acknowledged to anybody finds it (`answer`: found or not)."""
    known = {each.key: each.ended for each in reversed(history.operations) if (each.kind, each.outcome) == WRITTEN}
    return [
        f"{each.key} was acknowledged {each.began - known[each.key]:.3f} s before a reader did not find it"
        for each in history.operations
        if each.kind == "read" and each.outcome == "ok" and not each.answer and known.get(each.key, 9e9) < each.began
    ]


WRITTEN = ("submit", "ok")


def check_subscribers(logs: Mapping[str, Sequence[Event]]) -> list[str]:
    """All subscribers of a run read gapless prefixes of the same sequence."""
    longest = max(logs.values(), key=len, default=[])
    wrong = []
    for name, events in logs.items():
        numbers = [event["seq"] for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"{name} has a gap, a repetition or another order: {_first_break(numbers)}")
        elif list(events) != list(longest[: len(events)]):
            at = next(i for i, pair in enumerate(zip(events, longest, strict=False)) if pair[0] != pair[1])
            wrong.append(f"{name} read {events[at]} where another one read {longest[at]}")
    return wrong


def _first_break(numbers: Sequence[int]) -> str:
    for place, number in enumerate(numbers, 1):
        if number != place:
            return f"{number} in place {place}"
    return "nowhere"


def check_log(events: Sequence[Event], tasks: Iterable[str]) -> list[str]:
    """A whole log: each task begins before it ends and ends once, and one sealing event comes last."""
    wrong = [f"{event['type']} at {event['seq']} is not the end" for event in events[:-1] if event["type"] in SEALING]
    if not events or events[-1]["type"] not in SEALING:
        wrong.append("the log is not sealed")
    ends: Counter[str] = Counter()
    started: dict[str, int] = {}
    for event in events:
        task_id = event["data"].get("task_id")
        if event["type"] == "start_task":
            if ends[task_id]:
                wrong.append(f"{task_id} started after its end")
            started[task_id] = event["data"]["attempt"]
        elif event["type"] in OVER:
            ends[task_id] += 1
        if event["type"] == "finish_task" and started.get(task_id) != event["data"]["attempt"]:
            wrong.append(f"{task_id}: attempt {event['data']['attempt']} finished, {started.get(task_id)} had started")
    return wrong + [f"{task_id} ended {ends[task_id]} times" for task_id in tasks if ends[task_id] != 1]


def check_results(events: Sequence[Event], expected: Mapping[str, Any]) -> list[str]:
    """Accepted results are what the inputs say they must be."""
    found = {e["data"]["task_id"]: e["data"]["result"] for e in events if e["type"] == "finish_task"}
    return [
        f"{task_id} gave {found[task_id]}, its inputs give {value}"
        for task_id, value in expected.items()
        if task_id in found and found[task_id] != value
    ]


def check_effects(
    done: Mapping[str, Sequence[Execution]], finished: Iterable[str], *, once: bool = False, more: Iterable[str] = ()
) -> list[str]:
    """What finished was executed, to its end; where it was promised, once.

    Args:
        done: side effects by task.
        finished: tasks with an accepted result.
        once: nothing may have been executed twice, save the tasks of `more`.
    """
    spared, wrong = set(more), []
    for task in finished:
        runs = done.get(task, ())
        if not any(each.ended is not None for each in runs):
            wrong.append(f"{task} was accepted and never ran to its end")
        if once and task not in spared and len(runs) > 1:
            wrong.append(f"{task} was executed {len(runs)} times")
    return wrong
