"""Who holds which object: told, named in references with tickets, let go, never left behind."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.messages import ACCEPTED, STALE, AckItem, Forget, Goodbye, Holding, ResultAck
from maze_protocol.tickets import session_secret
from support.head_core import Head, R, add, edge, large, ok
from support.head_objects import MIB, parts, produced


def forgotten(head: Head) -> list[tuple[bytes, tuple[int, ...]]]:
    return [(send.link, send.message.leases) for send in head.take(fx.Send) if isinstance(send.message, Forget)]


def test_a_run_tells_how_much_of_it_nodes_hold() -> None:
    head, lease = produced(1)
    assert head.ask(ev.DescribeRun, R).object_bytes == MIB
    head.meet(b"L2", "n2")
    head.say(Holding(((lease, 0),)), b"L2")
    assert head.ask(ev.DescribeRun, R).object_bytes == 2 * MIB
    assert head.ask(ev.ListRuns, 10, 0).runs[0].object_bytes == 0
    head.ask(ev.CancelRun, R)
    head.wait(61.0)
    assert head.ask(ev.DescribeRun, R).object_bytes == 0


def test_an_object_is_accepted_as_a_reference_and_its_holder_is_in_the_log() -> None:
    head, lease = produced(1)
    (accept,) = head.take(fx.Accept)
    assert accept.outputs == large(lease).outputs
    (finished,) = [event for event in head.log() if type(event).__name__ == "TaskFinished"]
    assert (finished.node, finished.outputs[0].object, finished.outputs[0].crc) == ("n1", True, 7)
    assert finished.outputs[0].type == "numpy.ndarray"


def test_the_secret_of_a_session_is_in_its_welcome_unless_the_node_knows_no_objects() -> None:
    head = Head()
    head.core.state.secret, head.core.state.blob_endpoint = b"head", "tcp://:5"
    head.greet(minor=3)
    head.greet(b"L2", "n2", minor=2)
    new, old = (admit.welcome for admit in head.take(fx.Admit))
    assert (new.secret, new.blob_endpoint) == (session_secret(b"head", new.session), "tcp://:5")
    assert (old.secret, old.blob_endpoint) == (b"", "")


def test_what_nobody_knows_is_forgotten_where_it_is() -> None:
    head, lease = produced(1)
    head.forget()
    head.say(Holding(((12345, 0), (lease, 0), (12345, 1))))
    assert forgotten(head) == [(b"L1", (12345,))]


def test_what_is_made_by_an_attempt_that_has_yet_to_be_told_of_is_no_stranger() -> None:
    head = Head()
    head.workflow(add(0))
    head.meet()
    head.run()
    (lease,) = head.leases()
    head.say(Holding(((lease, 0),), whole=True))
    assert forgotten(head) == []


def test_the_whole_of_what_a_node_holds_takes_away_the_rest() -> None:
    head, lease = produced(1, nodes=2)
    head.say(Holding(((lease, 0),)), b"L2")
    head.greet(b"L3", "n2", minor=3)
    head.say(Holding((), whole=True), b"L3")
    assert list(head.core.state.objects.made[lease].parts[0].holders) == ["n1"]


def test_what_is_made_between_a_welcome_and_the_end_of_the_telling_stays() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0))
    head.greet(minor=3)
    head.run()
    (lease,) = head.leases()
    head.result(large(lease))
    head.say(Holding((), whole=True))
    assert list(head.core.state.objects.made[lease].parts[0].holders) == ["n1"]


def test_the_objects_of_an_attempt_that_does_not_count_are_thrown_away() -> None:
    head, _ = produced(1)
    head.forget()
    head.result(large(999))
    assert [send.message for send in head.take(fx.Send)] == [Forget((999,)), ResultAck((AckItem(999, STALE),))]


def test_a_result_that_is_told_twice_keeps_its_objects() -> None:
    head, lease = produced(1)
    head.forget()
    head.result(large(lease))
    assert [send.message for send in head.take(fx.Send)] == [ResultAck((AckItem(lease, ACCEPTED),))]


def test_what_was_passed_on_is_forgotten_some_time_after_the_end_of_the_run() -> None:
    head, lease = produced(1)
    (consumer,) = head.leases()
    head.result(ok(consumer))
    assert head.core.state.runs == {}
    assert forgotten(head) == []
    head.meet(b"L2", "n2")
    head.say(Holding(((lease, 0),)), b"L2")
    for _ in range(30):
        head.beat()
        head.beat(b"L2")
        head.wait(2.0)
    assert forgotten(head) == [(b"L1", (lease,)), (b"L2", (lease,))]
    assert not head.core.state.objects.made


def test_a_removed_run_takes_its_objects_along() -> None:
    head, lease = produced(1)
    head.result(ok(*head.leases()))
    head.forget()
    head.ask(ev.RemoveRun, R)
    assert forgotten(head) == [(b"L1", (lease,))]
    (stop,) = head.take(fx.DropObjects)
    assert stop.run_nos == (1,)
    assert not head.core.state.objects.of_node


def test_a_node_that_leaves_takes_its_copies_along() -> None:
    head, lease = produced(1, nodes=2)
    head.say(Holding(((lease, 0),)), b"L2")
    head.result(ok(*head.leases()), link=b"L1")
    head.say(Goodbye(), b"L1")
    assert list(head.core.state.objects.made[lease].parts[0].holders) == ["n2"]


def test_objects_of_live_runs_are_known_again_after_a_restart() -> None:
    head, lease = produced(1, 2)
    head = head.recover()
    place = head.ask(ev.FindObject, lease, 0)
    assert (place.run_no, place.task_no, place.ref) == (1, 0, None), "its node was not heard yet"
    head.greet(b"L9", minor=3, peer_endpoint="tcp://n1:1")
    place = head.ask(ev.LocateObject, R, 0, 0)
    assert [name for name, _, _ in place.ref.holders] == ["n1"]
    assert head.ask(ev.FindObject, lease, 1) is None
    assert head.ask(ev.FindObject, 12345, 0) is None
    assert head.ask(ev.LocateObject, R, 1, 0).ref is None


def test_a_manual_edge_passes_nothing() -> None:
    head = Head()
    head.workflow(add(0), add(1), edge(0, 1))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    (assigned,) = head.take(fx.AssignTask)
    assert parts(assigned) == []
