"""Events rendered for readers: every kind has a rendering, and the tasks that it names are known beforehand."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.events import TYPE_NAMES, ObjectLost, RunEvent, RunFinished, TaskSkipped, TaskWarned
from maze_protocol.rendering import _DATA, Names, data_of, mentioned, type_of
from support.messages import structs


class Asked(Names):
    """Names that note which tasks were asked for."""

    __slots__ = ("tasks",)

    def __init__(self) -> None:
        super().__init__("run_1", "workflow_1")
        self.tasks: dict[int, None] = {}

    def called(self, task: int) -> tuple[str, str]:
        self.tasks[task] = None
        return f"task_{task}", "t"

    def retries(self, task: int) -> int:
        return 3


def test_every_event_of_the_log_has_a_rendering() -> None:
    assert set(_DATA) == set(TYPE_NAMES)


@given(st.one_of(*map(structs, RunEvent.__args__)))
def test_what_is_mentioned_is_what_a_rendering_asks_for(event: Any) -> None:
    names = Asked()
    data: dict[str, Any] = msgspec.to_builtins(data_of(event, names), builtin_types=(bytes,))
    assert names.tasks.keys() == mentioned([event]).keys()
    assert (data["workflow_id"], data["run_id"]) == ("workflow_1", "run_1")
    assert type_of(event) in {*TYPE_NAMES.values(), "rebuild_started"}


def test_each_task_is_mentioned_once_in_the_order_of_the_events() -> None:
    events = (TaskWarned(5, "hm"), TaskSkipped(2, 5), ObjectLost(5, (), "n", 1), RunFinished(1, 0, 0))
    assert list(mentioned(events)) == [5, 2, 1]
    about_one = (TaskWarned(5, "hm"), RunFinished(1, 0, 0), TaskWarned(2, "hm"), TaskWarned(5, "hm"))
    assert list(mentioned(about_one)) == [5, 2]
