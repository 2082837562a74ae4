"""What consumers are told of an object: which holders, in which order, with tickets for them alone."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.references import CHAINED, reference
from maze_protocol.events import OutputMeta
from maze_protocol.messages import Holding
from maze_protocol.tickets import check_ticket, session_secret
from support.head_core import Head, R, add, large
from support.head_objects import MIB, parts, produced


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
