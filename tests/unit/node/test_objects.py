"""What the core knows of objects: who needs which, what is fetched once, what goes to disk, what is let go when."""

from __future__ import annotations

from typing import Any

from maze_node.core.effects import CancelFetch, Effect, FetchObject, ForgetObjects, RenameObjects, SpillObject
from maze_node.core.events import Instant, ObjectFailed, ObjectFetched, ObjectSpilled
from maze_node.core.leases import Lease
from maze_node.core.objects import AT_ONCE, UPLOAD_SECONDS, Objects, Room
from maze_node.frames import ReportFrame
from maze_protocol.messages import OK, Welcome
from maze_protocol.values import ObjectKey, ObjectRef, OutputValue, Value
from support.node_core import make_assignment

NOW = Instant(100.0, 1e9)
A, B = ObjectRef(1, 0, 100, 0), ObjectRef(2, 1, 50, 0)
WELCOME = Welcome(1, 3, 1, 1, b"c", 1.0, 3.0, 10.0, 600.0, blob_endpoint="tcp://:1")
OLDER = Welcome(1, 2, 1, 1, b"c", 1.0, 3.0, 10.0, 600.0)
UPLOAD = ObjectRef(0, 0, 70, 0, hash=b"h" * 32)


class Rig:
    def __init__(self, memory: int = 1000, descriptors: int = 100) -> None:
        self.effects: list[Effect] = []
        self.objects = Objects(self.effects.append)
        self.objects.room = Room(memory, descriptors, "/spool")
        self.numbers = 0

    def lease(self, *refs: ObjectRef) -> tuple[Lease, bool]:
        self.numbers += 1
        lease = Lease(900 + self.numbers, make_assignment(900 + self.numbers), (), 0, refs)
        lease.number = self.numbers
        return lease, self.objects.take_in(lease)

    def make(self, token: int, *sizes: int, on_disk: tuple[int, ...] = (), said: int = 0) -> None:
        outputs = tuple(
            OutputValue(f"o{number}", Value(0, size, ref=ObjectRef(token, number, size, 0)))
            for number, size in enumerate(sizes)
        )
        lease = Lease(token, make_assignment(token), ())
        self.objects.made(lease, ReportFrame(said or token, OK, 1.0, outputs, objects=len(sizes), on_disk=on_disk))

    def take(self) -> list[Effect]:
        taken = self.effects.copy()
        self.effects.clear()
        return taken

    def settle(self) -> list[Any]:
        self.objects.settle(NOW.mono)
        return [effect.key for effect in self.take() if isinstance(effect, SpillObject)]


def key(lease: int, output: int = 0) -> ObjectKey:
    return ObjectKey(lease, output)


def test_what_is_here_can_be_used_at_once() -> None:
    rig = Rig()
    rig.make(1, 100)
    assert rig.lease(A)[1]
    assert rig.take() == []


def test_what_several_wait_for_is_fetched_once() -> None:
    rig = Rig()
    (one, ready), (two, _) = rig.lease(A, B), rig.lease(A)
    assert not ready
    assert rig.take() == [FetchObject(A), FetchObject(B)]
    assert rig.objects.fetched(ObjectFetched(key(1))) == [two]
    assert rig.objects.fetched(ObjectFetched(key(2, 1))) == [one]
    assert (one.missing, two.missing) == (0, 0)


def test_who_waits_for_what_cannot_be_had_starves() -> None:
    rig = Rig()
    (one, _), (two, _) = rig.lease(A, B), rig.lease(A)
    assert rig.objects.failed(ObjectFailed(key(1), "gone")) == [one, two]
    rig.take()
    for lease in (one, two):
        rig.objects.is_over(lease, NOW)
    assert rig.take() == [CancelFetch(key(2, 1))]


def test_a_fetch_that_was_cancelled_and_is_wanted_again_is_ordered_again_when_it_has_ended() -> None:
    rig = Rig()
    first, _ = rig.lease(A)
    rig.objects.is_over(first, NOW)
    second, _ = rig.lease(A)
    assert rig.take() == [FetchObject(A), CancelFetch(key(1))]
    assert rig.objects.failed(ObjectFailed(key(1), "cancelled")) == []
    assert rig.take() == [FetchObject(A)]
    assert rig.objects.fetched(ObjectFetched(key(1))) == [second]


def test_a_cancelled_fetch_may_succeed_in_time_for_another_lease() -> None:
    rig = Rig()
    first, _ = rig.lease(A)
    rig.objects.is_over(first, NOW)
    second, _ = rig.lease(A)
    assert rig.objects.fetched(ObjectFetched(key(1))) == [second]


def test_a_copy_that_nobody_waits_for_is_let_go() -> None:
    rig = Rig()
    lease, _ = rig.lease(A)
    rig.objects.is_over(lease, NOW)
    rig.take()
    assert rig.objects.fetched(ObjectFetched(key(1))) == []
    assert rig.take() == [ForgetObjects((key(1),))]
    assert len(rig.objects) == 0


def test_what_is_forgotten_goes_with_the_last_lease_that_needs_it() -> None:
    rig = Rig()
    rig.make(1, 100, 30)
    (one, _), (two, _) = rig.lease(A), rig.lease(A)
    rig.objects.forget((1, 5))
    assert rig.take() == [ForgetObjects((key(1, 1),))]
    rig.objects.is_over(one, NOW)
    assert rig.take() == []
    rig.objects.is_over(two, NOW)
    assert rig.take() == [ForgetObjects((key(1),))]
    assert len(rig.objects) == 0


def test_the_oldest_go_to_disk_beyond_the_budget() -> None:
    rig = Rig(memory=250)
    for token in (1, 2, 3):
        rig.make(token, 100)
    assert rig.settle() == [key(1)]
    assert rig.settle() == [], "it is on its way"
    rig.objects.spilled(ObjectSpilled(key(1), done=True), NOW)
    assert not rig.objects.full
    rig.make(4, 60)
    assert rig.objects.full
    assert rig.settle() == [key(2)]


def test_what_a_running_attempt_maps_stays_in_memory() -> None:
    rig = Rig(memory=50)
    rig.make(1, 100)
    lease, _ = rig.lease(A)
    lease.worker = 7
    rig.objects.begins(lease)
    assert rig.settle() == []
    rig.objects.is_over(lease, NOW)
    assert rig.settle() == [key(1)]


def test_too_many_descriptors_are_a_reason_to_write_to_disk() -> None:
    rig = Rig(descriptors=3)
    rig.make(1, 10, 10, 10, 10, 10)
    assert rig.objects.full
    assert rig.settle() == [key(1, 0), key(1, 1)]


def test_a_disk_that_refuses_is_tried_again_later() -> None:
    rig = Rig(memory=50)
    rig.make(1, 100)
    assert rig.settle() == [key(1)]
    rig.objects.spilled(ObjectSpilled(key(1), done=False), NOW)
    assert rig.settle() == []
    rig.objects.settle(NOW.mono + 11)
    assert rig.take() == [SpillObject(key(1))]


def test_what_is_let_go_while_it_is_written_is_counted_once() -> None:
    rig = Rig(memory=50)
    rig.make(1, 100)
    rig.settle()
    rig.objects.forget((1,))
    rig.objects.spilled(ObjectSpilled(key(1), done=True), NOW)
    assert not rig.objects.full
    rig.make(2, 40)
    assert rig.settle() == []


def test_what_a_renamed_attempt_made_goes_by_the_new_name() -> None:
    rig = Rig(memory=50)
    rig.make(1, 100)
    rig.settle()
    rig.objects.rename(1, 8)
    assert rig.take() == [RenameObjects(1, 8)]
    assert key(8) in rig.objects
    assert key(1) not in rig.objects
    rig.objects.spilled(ObjectSpilled(key(1), done=True), NOW)
    assert not rig.objects.full
    rig.objects.forget((8,))
    assert rig.take() == [ForgetObjects((key(8),))]


def test_an_attempt_renamed_before_its_report_makes_objects_of_its_new_name() -> None:
    rig = Rig()
    rig.make(8, 100, said=1)
    assert rig.take() == [RenameObjects(1, 8)]
    assert key(8) in rig.objects


def test_a_session_begins_with_all_that_is_here_in_parts() -> None:
    rig = Rig()
    rig.make(1, *[1] * (AT_ONCE + 1))
    parts = list(rig.objects.welcome(WELCOME))
    assert [(len(part.objects), part.whole) for part in parts] == [(AT_ONCE, False), (1, True)]
    assert [part.objects for part in Rig().objects.welcome(WELCOME)] == [()]
    assert list(Rig().objects.welcome(OLDER)) == [], "a head that knows no objects"


def test_copies_are_told_once_and_uploads_never() -> None:
    rig = Rig()
    list(rig.objects.welcome(WELCOME))
    rig.lease(A, UPLOAD)
    for ref in (A, UPLOAD):
        rig.objects.fetched(ObjectFetched(ObjectKey(ref.lease, ref.output, ref.hash)))
    assert [part.objects for part in rig.objects.news()] == [((1, 0),)]
    assert list(rig.objects.news()) == []
    assert [part.objects for part in rig.objects.welcome(WELCOME)] == [((1, 0),)]


def test_uploads_are_let_go_some_time_after_they_were_needed() -> None:
    rig = Rig()
    lease, _ = rig.lease(UPLOAD)
    rig.objects.fetched(ObjectFetched(ObjectKey(0, 0, UPLOAD.hash)))
    rig.take()
    rig.objects.is_over(lease, NOW)
    later = Instant(NOW.mono + UPLOAD_SECONDS - 1, 0.0)
    rig.objects.tick(later)
    again, ready = rig.lease(UPLOAD)
    assert ready
    rig.objects.tick(Instant(later.mono + 10, 0.0))
    rig.objects.is_over(again, later)
    assert rig.take() == []
    rig.objects.tick(Instant(later.mono + UPLOAD_SECONDS, 0.0))
    assert rig.take() == [ForgetObjects((ObjectKey(0, 0, UPLOAD.hash),))]


def test_attempts_make_objects_only_for_heads_that_know_them() -> None:
    rig = Rig()
    assert rig.objects.spool == ""
    list(rig.objects.welcome(WELCOME))
    assert rig.objects.spool == "/spool"
    list(rig.objects.welcome(OLDER))
    assert rig.objects.spool == ""
