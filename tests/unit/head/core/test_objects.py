"""Who holds which object: told, named in references with tickets, let go, never left behind."""

from __future__ import annotations

from typing import Any

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.objects import CHAINED, reference
from maze_head.core.state import Settings
from maze_protocol.events import OutputMeta
from maze_protocol.messages import ACCEPTED, STALE, AckItem, Forget, Goodbye, Holding, Message, ResultAck
from maze_protocol.tickets import check_ticket, session_secret
from maze_protocol.values import ObjectRef
from support.head_core import Head, R, add, edge, large, ok

MIB = 1 << 20


def sent(head: Head, kind: type[Message], link: bytes = b"L1") -> list[Any]:
    """Take all sends; return the messages of a kind on a link."""
    return [send.message for send in head.take(fx.Send) if isinstance(send.message, kind) and send.link == link]


def forgotten(head: Head) -> list[tuple[bytes, tuple[int, ...]]]:
    return [(send.link, send.message.leases) for send in head.take(fx.Send) if isinstance(send.message, Forget)]


def produced(*consumers: int, nodes: int = 1, cpu: int = 4, **given: Any) -> tuple[Head, int]:
    """Return a head whose task 0 made an object on node n1 that tasks need, and the lease that made it."""
    head = Head(Settings(object_ttl=60.0), **given)
    head.workflow(add(0), *(add(number, 0, resources={"cpu": cpu}) for number in consumers))
    head.meet()
    head.run()
    (lease,) = head.leases()
    for number in range(2, nodes + 1):
        head.meet(b"L%d" % number, f"n{number}")
    head.result(large(lease))
    return head, lease


def parts(assigned: fx.AssignTask) -> list[ObjectRef | None]:
    return [source.ref for _, _, sources in assigned.inputs for source in sources]


def test_an_object_is_accepted_as_a_reference_and_its_holder_is_in_the_log() -> None:
    head, lease = produced(1)
    (accept,) = head.take(fx.Accept)
    assert accept.outputs == large(lease).outputs
    (finished,) = [event for event in head.log() if type(event).__name__ == "TaskFinished"]
    assert (finished.node, finished.outputs[0].object, finished.outputs[0].crc) == ("n1", True, 7)
    assert finished.outputs[0].type == "numpy.ndarray"


def test_the_node_that_has_an_object_is_told_of_no_other_holder() -> None:
    head, lease = produced(1)
    (assigned,) = head.take(fx.AssignTask)
    (ref,) = parts(assigned)
    assert (ref.lease, ref.output, ref.size, ref.crc) == (lease, 0, MIB, 7)
    assert [holder[:2] for holder in ref.holders] == [("", "")], "nobody but the head"
    assert assigned.inputs[0][2][0].codec == large(lease).outputs[0].value.codec


def test_other_nodes_are_told_of_holders_with_tickets_for_them_alone() -> None:
    head = Head()
    head.core.state.secret = b"head"
    head.workflow(add(0), *(add(number, 0, resources={"cpu": 4}) for number in (1, 2)))
    head.meet()
    head.run()
    (lease,) = head.leases()
    head.meet(b"L2", "n2")
    head.result(large(lease))
    (there,) = [assigned for assigned in head.take(fx.AssignTask) if assigned.link == b"L2"]
    (endpoint, key, ticket), _ = parts(there)[0].holders
    assert (endpoint, key) == ("tcp://n1:1", "key of n1")
    secret = session_secret(b"head", head.core.state.nodes["n1"].session)
    assert check_ticket(secret, ticket, lease, 0, b"", "n2", head.now.wall)
    assert not check_ticket(secret, ticket, lease, 0, b"", "n3", head.now.wall)


def test_the_head_is_the_last_holder_and_has_no_address() -> None:
    head, lease = produced(1)
    head.core.state.secret = b"head"
    ref = reference(head.core.state, head.core.state.objects.made[lease], 0, "n2")
    assert [holder[0] for holder in ref.holders] == ["tcp://n1:1", ""]
    assert check_ticket(b"head", ref.holders[-1][2], lease, 0, b"", "n2", head.now.wall)


def test_the_secret_of_a_session_is_in_its_welcome_unless_the_node_knows_no_objects() -> None:
    head = Head()
    head.core.state.secret, head.core.state.blob_endpoint = b"head", "tcp://:5"
    head.greet(minor=3)
    head.greet(b"L2", "n2", minor=2)
    new, old = (admit.welcome for admit in head.take(fx.Admit))
    assert (new.secret, new.blob_endpoint) == (session_secret(b"head", new.session), "tcp://:5")
    assert (old.secret, old.blob_endpoint) == (b"", "")


def test_consumers_spread_over_the_holders() -> None:
    head, lease = produced(*range(1, 13), nodes=14)
    head.forget()
    for number in range(2, 5):
        head.say(Holding(((lease, 0),)), b"L%d" % number)
    state = head.core.state
    copies = state.objects.made[lease]
    firsts = {reference(state, copies, 0, f"n{number}").holders[0][0] for number in range(5, 15)}
    assert len(firsts) > 1


def test_a_node_that_is_not_heard_or_serves_no_peers_is_not_named() -> None:
    head, lease = produced(1, 2, nodes=2)
    head.do(ev.LinkLost(b"L1", "gone"))
    place = head.ask(ev.LocateObject, R, 0, 0)
    assert (place.ref, place.kept) == (None, False)
    head.meet(peer_endpoint="", inventory=())
    head.say(Holding(((lease, 0),)))
    place = head.ask(ev.LocateObject, R, 0, 0)
    assert [name for name, _, _ in place.ref.holders] == ["n1"], "the head reaches it over its own connection"


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


def _firsts(head: Head, lease: int, *consumers: str) -> list[str]:
    state = head.core.state
    return [reference(state, state.objects.made[lease], 0, consumer).holders[0][0] for consumer in consumers]


def test_a_broadcast_of_a_large_object_goes_as_a_chain() -> None:
    head, lease = produced(1, nodes=5)
    head.core.state.objects.made[lease].parts[0].meta = OutputMeta("out", 1, CHAINED, object=True)
    assert _firsts(head, lease, "n2", "n3", "n4") == ["tcp://n1:1", "tcp://n2:1", "tcp://n3:1"]
    assert _firsts(head, lease, "n3", "n2") == ["tcp://n2:1", "tcp://n1:1"], "never one who was told later"
    head.say(Holding(((lease, 0),)), b"L3")
    assert _firsts(head, lease, "n4") == ["tcp://n2:1"], "n3 is a holder now, and on its way no more"
    head.do(ev.LinkLost(b"L2", "cut"))
    assert _firsts(head, lease, "n4") != ["tcp://n2:1"], "nobody hears n2"
    ref = reference(head.core.state, head.core.state.objects.made[lease], 0, "n3")
    assert [holder[0] for holder in ref.holders] == [""], "it has it"


def test_a_small_object_comes_from_its_holders() -> None:
    head, lease = produced(1, nodes=4)
    assert _firsts(head, lease, "n2", "n3") == ["tcp://n1:1", "tcp://n1:1"]
