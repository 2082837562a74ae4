"""What a finished task makes when it runs once more: taken if it is the like of what was lost."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_protocol.events import ObjectGone, ObjectRebuilt
from maze_protocol.messages import OK, Forget, Goodbye, Outcome
from maze_protocol.values import MSGPACK, ObjectRef, OutputValue, Value
from support.head_core import Head, add

MIB = 1 << 20


def outcome(lease: int, *sizes: int, crc: int = 0) -> Outcome:
    """Return a success with one output per size; those above 100 bytes are objects."""
    outputs = []
    for number, size in enumerate(sizes):
        ref = ObjectRef(lease, number, size, crc) if size > 100 else None
        value = Value(MSGPACK, size, b"" if ref else b"\x01" * size, ref=ref)
        outputs.append(OutputValue(f"y{number}", value))
    return Outcome(lease, OK, 1e9, 2.5, tuple(outputs))


def rebuilding(*sizes: int) -> tuple[Head, int, int]:
    """Return a head that runs a task again for its objects on n2: with its first lease and its second."""
    head = Head()
    head.workflow(add(0, outputs=["y0", "y1"]))
    head.meet()
    head.run()
    (first,) = head.leases()
    head.result(outcome(first, *sizes))
    head.say(Goodbye())
    head.meet(b"L2", "n2")
    (second,) = head.leases()
    head.log()
    head.forget()
    return head, first, second


def test_the_new_lease_names_the_objects_and_the_old_one_is_unknown() -> None:
    head, _, second = rebuilding(MIB, 8)
    head.result(outcome(second, MIB, 8), link=b"L2")
    assert list(head.core.state.objects.made) == [second]
    assert [order.ref.lease for order in head.take(fx.KeepObject)] == [second]
    assert head.core.state.counters.objects_rebuilt == 1


def test_sizes_are_compared() -> None:
    head, _, second = rebuilding(MIB, 2 * MIB)
    head.result(outcome(second, MIB, 3 * MIB), link=b"L2")
    (rebuilt,) = [event for event in head.log() if isinstance(event, ObjectRebuilt)]
    assert rebuilt.diverged == ("y1",)


def test_what_is_an_object_no_more_serves_nobody() -> None:
    head, _, second = rebuilding(MIB, 2 * MIB)
    head.result(outcome(second, MIB, 8), link=b"L2")
    (gone,) = [event for event in head.log() if isinstance(event, ObjectGone)]
    assert gone.outputs == (0, 1)
    assert Forget((second,)) in [send.message for send in head.take(fx.Send)]


def test_what_has_become_an_object_changes_nothing_of_what_was_accepted() -> None:
    head, _, second = rebuilding(MIB, 8)
    head.result(outcome(second, MIB, 2 * MIB), link=b"L2")
    assert head.take(fx.Accept) == []
    (rebuilt,) = [event for event in head.log() if isinstance(event, ObjectRebuilt)]
    assert rebuilt.diverged == ("y1",)
    assert head.core.state.runs[1].objects.unkept == {0: (0,)}


def test_a_checksum_that_is_not_known_is_not_compared() -> None:
    head, _, second = rebuilding(MIB)
    head.result(outcome(second, MIB, crc=5), link=b"L2")
    (rebuilt,) = [event for event in head.log() if isinstance(event, ObjectRebuilt)]
    assert rebuilt.diverged == ()
