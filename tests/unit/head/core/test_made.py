"""What a run's log says of its objects."""

from __future__ import annotations

from maze_head.core.made import Made, RunObjects, objects_of
from maze_protocol.events import ObjectGone, ObjectLost, ObjectRebuilt, OutputKept, OutputMeta, TaskFinished
from maze_protocol.messages import ErrorInfo

SMALL = OutputMeta("a", 0, 8)
LARGE = OutputMeta("b", 0, 1 << 20, True)
OTHER = OutputMeta("c", 0, 1 << 21, True)
METAS = (SMALL, LARGE, OTHER)
GONE = ErrorInfo("object_lost", "ObjectLost", "nobody has it")


def finished(*, keeps: bool = True) -> RunObjects:
    objects = RunObjects()
    objects.finished(TaskFinished(4, 1, 77, METAS, 1.0, node="n1"), keeps=keeps)
    return objects


def test_objects_are_numbered_by_their_place_among_all_outputs() -> None:
    assert objects_of(METAS) == (1, 2)
    assert finished().made == {4: Made(77, "n1", METAS)}


def test_what_is_to_be_kept_is_owed_until_it_is() -> None:
    objects = finished()
    assert objects.unkept == {4: (1, 2)}
    objects.was_kept(OutputKept(4, 2, "c", 1 << 21))
    assert (objects.unkept, objects.kept) == ({4: (1,)}, {4: (2,)})
    objects.was_kept(OutputKept(4, 1, "b", 1 << 20))
    assert (objects.unkept, objects.kept) == ({}, {4: (2, 1)})


def test_what_is_passed_on_only_is_not_owed() -> None:
    assert finished(keeps=False).unkept == {}


def test_what_is_made_anew_goes_by_its_new_lease() -> None:
    objects = finished()
    objects.were_lost(ObjectLost(4, (1,), "n1"))
    assert (objects.lost, objects.rebuilds) == ({4: (1,)}, {4: 1})
    objects.were_rebuilt(ObjectRebuilt(4, 2, 99, "n2", METAS))
    assert (objects.lost, objects.made[4], objects.unkept) == ({}, Made(99, "n2", METAS), {4: (1, 2)})
    objects.were_lost(ObjectLost(4, (2,), "n2"))
    assert objects.rebuilds == {4: 2}


def test_what_is_gone_is_owed_no_more() -> None:
    objects = finished()
    assert not objects.are_gone(ObjectGone(4, (1,), GONE)), "nothing was being made"
    assert (objects.unkept, objects.gone) == ({4: (2,)}, {(4, 1): GONE})
    objects.were_lost(ObjectLost(4, (2,), "n1"))
    assert objects.are_gone(ObjectGone(4, (2,), GONE))
    assert (objects.unkept, objects.lost) == ({}, {})
