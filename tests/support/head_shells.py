"""Builders and doubles for tests of the head's shells: rows and batches, a scripted core, a recording wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from maze_head.batch import Batch
from maze_head.core.effects import Accept, Append, AppendCluster, Effect
from maze_head.core.events import Event, Instant, Ticked
from maze_protocol.events import OutputMeta, RunEvent, RunFinished, RunSubmitted, Segment, TaskFinished
from maze_protocol.messages import Message
from maze_protocol.values import MSGPACK, OutputValue, Value

EPOCH = 5
WORKFLOW = b"w" * 16


def run_id(run_no: int) -> bytes:
    """Return the id of a run that is known by its number."""
    return b"run-" + run_no.to_bytes(12, "big")


def submitted(run_no: int, tasks: int = 2) -> RunSubmitted:
    """Return the first event of a run."""
    return RunSubmitted(run_id(run_no), WORKFLOW, 1, tasks)


def finished(task: int, size: int = 3) -> TaskFinished:
    """Return the end of a task with one output `y`."""
    return TaskFinished(task, 1, task + 1, (OutputMeta("y", MSGPACK, size),), 0.5)


def sealed(count: int = 1) -> RunFinished:
    """Return the sealing event of a run."""
    return RunFinished(count, 0, 0)


def segment(first_seq: int, *events: RunEvent) -> Segment:
    """Return a committed segment."""
    return Segment(EPOCH, 1000.0, first_seq, events)


def output(body: bytes = b"abc", key: str = "y") -> OutputValue:
    """Return an output with its body inline."""
    return OutputValue(key, Value(MSGPACK, len(body), body))


def accept(run_no: int, task_no: int, body: bytes = b"abc", lease: int = 1) -> Accept:
    """Return an accepted result with one output `y`."""
    return Accept(run_no, task_no, lease, (output(body),), (), len(body))


def batch_of(*effects: Any, time: float = 1000.0) -> Batch:
    """Return a batch of durable effects."""
    batch = Batch(EPOCH, time)
    for effect in effects:
        batch.add(effect)
    return batch


def begin(run_no: int, *more: RunEvent) -> Append:
    """Return the append that begins a run."""
    return Append(run_no, 1, (submitted(run_no), *more))


def note(number: int) -> AppendCluster:
    """Return an event of the cluster's log."""
    return AppendCluster("noted", {"number": number})


class ScriptedCore:
    """A core that records what it is told and returns what the test scripted."""

    def __init__(self) -> None:
        self.handled: list[Event] = []
        self.instants: list[Instant] = []
        self.passes = 0
        self.patient: Callable[[Event], float] = lambda event: 0.0
        self.ticks = 0
        self.on: Callable[[Event], list[Effect]] = lambda event: []
        self.placed: list[Effect] = []

    def patience(self, event: Event) -> float:
        return self.patient(event)

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Ticked):
            self.ticks += 1
            return []
        self.handled.append(event)
        self.instants.append(now)
        return self.on(event)

    def schedule(self, now: Instant) -> list[Effect]:
        self.passes += 1
        effects, self.placed = self.placed, []
        return effects


class RecordingWire:
    """What the dispatcher told the transport, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes, Any]] = []
        self.payloads: list[tuple[bytes, ...]] = []

    def send(self, link: bytes, message: Message, payloads: Iterable[bytes] = ()) -> None:
        self.said.append(("send", link, message))
        self.payloads.append(tuple(payloads))

    def admit(self, link: bytes, welcome: Any) -> None:
        self.said.append(("admit", link, welcome))

    def refuse(self, link: bytes, message: Any) -> None:
        self.said.append(("refuse", link, message))

    def to(self, link: bytes) -> list[Any]:
        """Return the messages to one link."""
        return [message for _, receiver, message in self.said if receiver == link]
