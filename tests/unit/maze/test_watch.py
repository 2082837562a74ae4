"""When `show_results` looks beyond the events, and which reasons are news. Time is given."""

from __future__ import annotations

import pytest

from maze._watch import Look, Wait, Watch
from maze_protocol.waiting import NamedTask, Reason, ShapeBody, WaitingGroup

SMALL, LARGE = ShapeBody(1), ShapeBody(8, 4096)


def group(
    code: str, *tasks: str, shape: ShapeBody | None = SMALL, count: int = 0, text: str = "because"
) -> WaitingGroup:
    return WaitingGroup(code, text, count or len(tasks), [NamedTask(task, "t") for task in tasks], shape)


def looks(watch: Watch, until: float, *, heard: bool = False, unstarted: int = 0) -> list[tuple[float, Look]]:
    """Wait as patiently as the watch says until that time; return when it looked at what."""
    now, found = 0.0, []
    while now < until:
        now += max(0.001, watch.patience(now))
        watch.note(now, heard=heard, unstarted=unstarted)
        found += [(round(now, 2), look) for look in watch.due(now)]
    return found


def test_nodes_are_looked_for_when_nothing_happens_and_then_less_and_less_often() -> None:
    assert looks(Watch(0.0), 120.0) == [
        (2.0, Look.NODES), (6.0, Look.NODES), (14.0, Look.NODES), (30.0, Look.NODES), (60.0, Look.NODES),
        (90.0, Look.NODES), (120.0, Look.NODES),
    ]  # fmt: skip


def test_events_put_that_off() -> None:
    watch = Watch(0.0)
    watch.note(1.9, heard=True, unstarted=0)
    assert watch.due(3.8) == []
    assert watch.patience(3.8) == pytest.approx(0.1)
    assert watch.due(3.9) == [Look.NODES]
    watch.note(8.0, heard=True, unstarted=0)
    assert watch.patience(8.0) == 2.0


def test_reasons_are_asked_for_three_seconds_apart_however_much_happens() -> None:
    watch, asked = Watch(0.0), []
    for tick in range(1000):
        watch.note(tick / 100, heard=True, unstarted=1)
        asked += [tick / 100 for look in watch.due(tick / 100) if look is Look.REASONS]
    assert asked == [0.25, 3.25, 6.25, 9.25]


def test_reasons_are_asked_for_in_silence_too() -> None:
    watch = Watch(0.0)
    watch.note(0.0, heard=True, unstarted=1)
    assert [at for at, look in looks(watch, 6.2, unstarted=1) if look is Look.REASONS] == [0.25, 3.25, 6.25]


def test_nothing_is_asked_once_all_tasks_have_started() -> None:
    watch = Watch(0.0)
    watch.note(0.1, heard=True, unstarted=0)
    assert watch.patience(0.1) == 2.0
    assert watch.due(1.0) == []


def test_a_task_is_named_when_it_was_waiting_at_two_looks() -> None:
    watch = Watch(0.0)
    assert watch.news([group("infeasible", "a")]) == []
    assert watch.news([group("infeasible", "b", "a", text="it asks for 8 CPUs")]) == [
        Wait("a", 1, "it asks for 8 CPUs")
    ]


def test_tasks_that_start_one_after_the_other_are_no_news() -> None:
    watch = Watch(0.0)
    for number in range(0, 100, 2):
        assert watch.news([group("no_capacity_now", f"t{number}", f"t{number + 1}", count=500)]) == []


def test_a_reason_is_told_once_for_tasks_that_ask_for_the_same() -> None:
    watch = Watch(0.0)
    busy = group("no_capacity_now", "a", count=40)
    assert watch.news([busy]) == []
    assert watch.news([busy]) == [Wait("a", 39, "because")]
    assert watch.news([group("no_capacity_now", "a", text="other nodes are busy now")]) == []
    assert watch.news([group("reserved", "a", text="kept for b")]) == [Wait("a", 0, "kept for b")]
    assert watch.news([busy, group("no_capacity_now", "c", shape=LARGE)]) == []
    assert watch.news([busy, group("no_capacity_now", "c", shape=LARGE)]) == [Wait("c", 0, "because")]


@pytest.mark.parametrize(
    ("reason", "told"),
    [(reason, reason.name not in {
        "OVER", "HELD", "RUN_CANCELLING", "WAITING_INPUTS", "BACKOFF", "NO_NODE", "NEXT",
    }) for reason in Reason],
)  # fmt: skip
def test_what_is_no_waiting_for_room_is_not_told(reason: Reason, told: bool) -> None:
    watch = Watch(0.0)
    waits = [group(reason.value, "a", shape=None)]
    assert watch.news(waits) == []
    assert bool(watch.news(waits)) is told
