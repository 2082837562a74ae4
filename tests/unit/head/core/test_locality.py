"""Where large inputs are, their tasks go."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core.locality import LARGE_INPUTS
from maze_protocol.http import InputBody, UploadedValue
from maze_protocol.messages import Holding
from support.head_core import Head, add, large, ok

MIB = 1 << 20


def links(head: Head) -> list[bytes]:
    return [assigned.link for assigned in head.take(fx.AssignTask)]


def with_inputs(*sizes: int) -> Head:
    """Return a head whose task 9 needs one object per size, made on n1, n2, … in turn."""
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 3}) for number in range(len(sizes))), add(9, *range(len(sizes))))
    for number in range(len(sizes)):
        head.meet(b"L%d" % (number + 1), f"n{number + 1}")
    head.run()
    given = {assigned.link: assigned.assignment.lease for assigned in head.take(fx.AssignTask)}
    leases = [given[b"L%d" % (number + 1)] for number in range(len(sizes))]
    for number, size in enumerate(sizes):
        head.result(large(leases[number], size), link=b"L%d" % (number + 1))
    return head


def test_a_task_goes_where_most_of_its_bytes_are() -> None:
    head = with_inputs(2 * MIB, 3 * MIB, 1 * MIB)
    assert links(head) == [b"L2"]


def test_bytes_of_several_inputs_count_together() -> None:
    head = Head()
    head.workflow(add(0), add(1), add(2), add(3, 0, 1, 2, resources={"cpu": 4}))
    head.meet()
    head.run()
    first, second, third = head.leases()
    head.result(large(first, 2 * MIB))
    head.result(large(second, 2 * MIB))
    head.meet(b"L2", "n2")
    head.say(Holding(((first, 0), (second, 0))), b"L2")
    head.meet(b"L3", "n3")
    head.result(large(third, 1 * MIB))
    assert links(head) == [b"L1"]


def test_small_objects_attract_nobody() -> None:
    head = with_inputs(LARGE_INPUTS // 2 - 1, LARGE_INPUTS // 2)
    assert links(head) == [b"L1"], "the first of equals"


def test_nobody_waits_for_the_node_that_has_the_bytes() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0, resources={"cpu": 4}), add(2, 0, resources={"cpu": 4}))
    head.meet()
    head.run()
    (first,) = head.leases()
    head.meet(b"L2", "n2")
    head.result(large(first))
    assert sorted(links(head)) == [b"L1", b"L2"]


def test_a_node_that_knows_no_objects_gets_none() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0, resources={"cpu": 4}), add(2, 0, resources={"cpu": 3}))
    head.meet()
    head.run()
    (first,) = head.leases()
    head.greet(b"L2", "old", minor=2)
    head.result(large(first))
    assert links(head) == [b"L1"]
    (second,) = head.core.state.leases.current
    head.result(ok(second))
    assert links(head) == [b"L1"]


def test_a_node_that_knows_no_objects_takes_everything_else() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0))
    head.greet(minor=2)
    head.run()
    head.result(ok(*head.leases()))
    assert links(head) == [b"L1"]


def test_a_node_that_knows_no_objects_gets_no_uploads() -> None:
    upload = InputBody(upload=UploadedValue(0, "ab" * 32, 5 * MIB))
    head = Head()
    head.workflow(add(0, inputs={"x": upload}))
    head.greet(minor=2)
    head.run()
    assert links(head) == []
    head.meet(b"L2", "n2")
    assert links(head) == [b"L2"]
