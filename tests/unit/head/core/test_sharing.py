"""Limits and projects as operators set them: what is answered, refused, written down and read back."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core import sharing
from maze_head.core.allowances import Limit
from maze_head.core.errors import Conflict, Invalid, NotFound, Unavailable
from maze_head.core.shares import Cap, Rules
from maze_protocol.cluster import CapBody, LimitBody, LimitList, LimitRequest, ProjectBody, ProjectRequest
from maze_protocol.rates import Rate
from support.head_core import Head, add, dump

NAN = float("nan")


def limits(head: Head) -> LimitList:
    return head.ask(ev.ListLimits)


def test_a_limit_is_set_changed_shown_and_removed() -> None:
    head = Head()
    assert limits(head) == LimitList([], [])
    first = head.ask(ev.SetLimit, "openai", LimitRequest(20, "500 / minute"))
    assert first == LimitBody("openai", 20, "500/min", 0, 0.0)
    second = head.ask(ev.SetLimit, "openai", LimitRequest(rate="1/s"))
    assert second == LimitBody("openai", None, "1/s", 0, 0.0)
    assert limits(head).limits == [second]
    assert head.ask(ev.RemoveLimit, "openai") == second
    assert limits(head) == LimitList([], [])
    assert [effect.kind for effect in head.take(fx.AppendCluster)] == ["limit_set", "limit_set", "limit_removed"]
    head.done()


def test_a_project_is_set_shown_and_removed() -> None:
    head = Head()
    cap = CapBody(cpu=16, cpu_mem=4096, gpu=2.5, tasks=100)
    body = ProjectBody("batch", 2.0, cap, 0.0, 0, 0.0, 0, 0.0, 0)
    assert head.ask(ev.SetProject, "batch", ProjectRequest(2.0, cap)) == body
    assert head.core.state.shares.rules == {"batch": Rules(2.0, Cap(16_000, 4096, 2500, 100))}
    assert limits(head).projects == [body]
    assert head.ask(ev.RemoveProject, "batch") == body
    assert limits(head).projects == []
    assert [effect.kind for effect in head.take(fx.AppendCluster)] == ["project_set", "project_removed"]
    head.done()


def test_runs_that_name_no_project_are_those_of_the_default_one() -> None:
    head = Head()
    assert head.ask(ev.SetProject, "default", ProjectRequest(3.0)).name == "default"
    assert head.core.state.shares.rules == {"": Rules(3.0)}
    head.workflow(add(1))
    assert head.run(project="default").project == head.run(b"q" * 16).project == ""
    assert head.run(b"p" * 16, project="batch").project == "batch"
    head.ask(ev.RemoveProject, "default")
    assert head.core.state.shares.rules == {}


def test_what_is_set_survives_a_restart() -> None:
    head = Head()
    head.ask(ev.SetLimit, "a", LimitRequest(1, "5/h"))
    head.ask(ev.SetLimit, "b", LimitRequest(2))
    head.ask(ev.SetLimit, "a", LimitRequest(3, "7/day"))
    head.ask(ev.SetLimit, "gone", LimitRequest(4))
    head.ask(ev.RemoveLimit, "gone")
    head.ask(ev.SetProject, "p", ProjectRequest(0.5, CapBody(gpu=0)))
    head.ask(ev.SetProject, "q", ProjectRequest(2))
    head.ask(ev.RemoveProject, "q")
    other = head.recover()
    assert limits(other) == limits(head)
    assert other.core.state.allowances.limits == {"a": Limit(3, Rate(7, 86_400)), "b": Limit(2)}
    assert other.core.state.shares.rules == {"p": Rules(0.5, Cap(gpu_milli=0))}
    assert dump(other.core) == dump(head.core)


def test_units_spent_of_a_rate_are_shown_as_the_time_to_the_next() -> None:
    head = Head()
    head.ask(ev.SetLimit, "a", LimitRequest(rate="6/min"))
    head.workflow(add(1, limits={"a": 1}))
    head.greet()
    head.run()
    head.mono += 2.5
    (shown,) = limits(head).limits
    assert (shown.held, shown.next_s) == (1, pytest.approx(7.0))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (LimitRequest(), "$"),
        (LimitRequest(-1), "$.concurrency"),
        (LimitRequest(1_000_001), "$.concurrency"),
        (LimitRequest(rate=""), "$.rate"),
        (LimitRequest(1, "often"), "$.rate"),
        (LimitRequest(1, "0/s"), "$.rate"),
    ],
)
def test_a_limit_out_of_range_is_refused_and_nothing_is_changed(request_: LimitRequest, field: str) -> None:
    head = Head()
    with pytest.raises(Invalid) as refusal:
        head.ask(ev.SetLimit, "a", request_)
    assert (refusal.value.code, refusal.value.field) == ("invalid_limit", field)
    assert limits(head) == LimitList([], [])
    head.done()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ProjectRequest(0.0), "$.weight"),
        (ProjectRequest(-1.0), "$.weight"),
        (ProjectRequest(NAN), "$.weight"),
        (ProjectRequest(1e9), "$.weight"),
        (ProjectRequest(cap=CapBody(cpu=-1)), "$.cap.cpu"),
        (ProjectRequest(cap=CapBody(gpu=NAN)), "$.cap.gpu"),
        (ProjectRequest(cap=CapBody(cpu_mem=10**12)), "$.cap.cpu_mem"),
        (ProjectRequest(cap=CapBody(tasks=-1)), "$.cap.tasks"),
    ],
)
def test_a_project_out_of_range_is_refused_and_nothing_is_changed(request_: ProjectRequest, field: str) -> None:
    head = Head()
    with pytest.raises(Invalid) as refusal:
        head.ask(ev.SetProject, "a", request_)
    assert (refusal.value.code, refusal.value.field) == ("invalid_project", field)
    assert limits(head) == LimitList([], [])
    head.done()


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 257])
def test_what_is_no_name_is_refused(name: str) -> None:
    head = Head()
    head.workflow(add(1))
    with pytest.raises(Invalid, match="the limit's name"):
        head.ask(ev.SetLimit, name, LimitRequest(1))
    if name:
        with pytest.raises(Invalid, match="the project's name"):
            head.ask(ev.SetProject, name, ProjectRequest())
        with pytest.raises(Invalid, match="the project's name") as refusal:
            head.run(project=name)
        assert refusal.value.field == "$.project"


@pytest.mark.parametrize("command", [ev.RemoveLimit, ev.RemoveProject])
def test_what_is_not_set_cannot_be_removed(command: Any) -> None:
    with pytest.raises(NotFound):
        Head().ask(command, "a")


def test_only_so_many_limits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_SET", 2)
    head = Head()
    for name in ("a", "b"):
        head.ask(ev.SetLimit, name, LimitRequest(1))
    with pytest.raises(Conflict, match="2 limits are set"):
        head.ask(ev.SetLimit, "c", LimitRequest(1))
    assert head.ask(ev.SetLimit, "a", LimitRequest(2)).concurrency == 2
    head.ask(ev.RemoveLimit, "b")
    head.ask(ev.SetLimit, "c", LimitRequest(1))


def test_on_a_full_disk_limits_are_shown_and_not_changed() -> None:
    head = Head()
    head.ask(ev.SetLimit, "a", LimitRequest(1))
    head.do(ev.DiskTurned(full=True))
    for command, *given in ((ev.SetLimit, "a", LimitRequest(2)), (ev.RemoveLimit, "a"), (ev.RemoveProject, "p")):
        with pytest.raises(Unavailable):
            head.ask(command, *given)
    assert [limit.concurrency for limit in limits(head).limits] == [1]
