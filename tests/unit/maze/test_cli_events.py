"""Printing the log of a run: pages to the end, a head that is away, lines and documents."""

from __future__ import annotations

import click
import pytest

from maze.cli import events as events_module
from maze.cli._api import ApiError, HeadUnreachable
from maze.cli.events import _line, _read


class FakeHead:
    """Serves pages of two events; what `failures` holds is raised first."""

    def __init__(self, count: int, *, sealed: bool) -> None:
        self.log = [event(number) for number in range(1, count + 1)]
        self.sealed = sealed
        self.failures: list[click.ClickException] = []
        self.asked: list[tuple[int, int]] = []

    def get(self, path, *, after, wait):
        assert path == "/runs/run_1/events"
        self.asked.append((after, wait))
        if self.failures:
            raise self.failures.pop(0)
        found = self.log[after : after + 2]
        last = after + len(found)
        return {"events": found, "last_seq": last, "sealed": self.sealed and last == len(self.log)}


def event(seq, **data):
    return {"seq": seq, "epoch": 1, "time": 0.0, "type": "start_task", "data": data}


def read(head, after=0, *, follow=False):
    return [each["seq"] for each in _read(head, "run_1", after, follow=follow)]


def test_a_log_is_read_to_where_it_ends_now():
    head = FakeHead(5, sealed=False)
    assert read(head) == [1, 2, 3, 4, 5]
    assert head.asked == [(0, 0), (2, 0), (4, 0), (5, 0)]
    assert read(FakeHead(5, sealed=True), 3) == [4, 5]


def test_following_waits_for_more_until_the_seal_and_bears_a_head_that_is_away(monkeypatch):
    monkeypatch.setattr(events_module, "_RETRY_SECONDS", 0)
    head = FakeHead(3, sealed=False)
    stream = _read(head, "run_1", 0, follow=True)
    assert [next(stream)["seq"] for _ in range(3)] == [1, 2, 3]
    head.failures = [HeadUnreachable("u", "refused"), ApiError(503, "stopping", "not now")]
    head.log.append(event(4))
    head.sealed = True
    assert [each["seq"] for each in stream] == [4]
    assert head.asked[-3:] == [(3, 5)] * 3


@pytest.mark.parametrize("failure", [HeadUnreachable("u", "refused"), ApiError(410, "run_expired", "gone")])
def test_what_will_not_pass_is_told(failure):
    head = FakeHead(3, sealed=False)
    head.failures = [failure]
    with pytest.raises(type(failure)):
        read(head, follow=isinstance(failure, ApiError))


def test_a_line_tells_number_time_kind_task_and_what_matters():
    line = _line(
        event(7, task_name="load", task_id="task_" + "3f" * 16, node_id="n1", attempt=2, error_type="", text=None)
    )
    seq, _, kind, task, details = line.split("\t")
    assert (seq, kind, task, details) == ("7", "start_task", "load (task_3f3f3f3f)", "node_id='n1' attempt='2'")
