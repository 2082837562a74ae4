"""What an attempt holds beside room: other nodes, its company, a node to itself; and that all of it comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core import leases
from maze_head.core.allowances import Allowances
from maze_head.core.shares import Shares
from maze_protocol.leases import make_lease
from maze_protocol.messages import FAILED, Cancel, ErrorInfo, Goodbye, Hello, Outcome
from maze_protocol.resources import Capacity
from support.head_core import Head, add, hello, ok

SMALL = Capacity(2000, 1000, (), 16)


def cluster(count: int, capacity: Capacity = SMALL) -> Head:
    """Return a head with nodes n1, n2, … at the links L1, L2, …"""
    head = Head()
    for number in range(1, count + 1):
        head.do(ev.NodeGreeted(f"L{number}".encode(), _hello(f"n{number}", number, capacity)))
    return head


def _hello(name: str, number: int, capacity: Capacity, incarnation: int = 1) -> Hello:
    return msgspec.structs.replace(hello(name, incarnation, capacity=capacity), address=f"10.0.0.{number}")


def free(head: Head) -> list[int]:
    """Return the free CPUs of each node, in thousandths."""
    return [node.ledger.cpu_free for node in head.core.state.nodes.values()]


def test_tokens_count_up_within_the_epoch_and_not_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LAST", 2)
    tokens = leases.Leases(7, Shares(), Allowances())
    assert [tokens.next_token(), tokens.next_token()] == [make_lease(7, 1), make_lease(7, 2)]
    with pytest.raises(StopIteration):
        tokens.next_token()


def test_a_gang_takes_all_its_nodes_or_none_and_its_code_runs_on_the_first() -> None:
    head = cluster(2)
    head.workflow(add(1, nodes=3, resources={"cpu": 2}))
    head.run()
    assert head.leases() == []
    assert free(head) == [2000, 2000]
    head.do(ev.NodeGreeted(b"L3", _hello("n3", 3, SMALL)))
    (order,) = head.take(fx.AssignTask)
    assert (order.link, order.assignment.gang) == (b"L1", ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert free(head) == [0, 0, 0]
    head.result(ok(order.assignment.lease))
    assert free(head) == [2000, 2000, 2000]
    assert [type(event).__name__ for event in head.log()][-1] == "RunFinished"


def test_an_attempt_on_one_node_is_told_of_no_gang() -> None:
    head = cluster(1)
    head.workflow(add(1))
    head.run()
    assert head.take(fx.AssignTask)[0].assignment.gang == ()


def test_a_gang_whose_member_is_lost_is_stopped_and_tried_again_as_a_whole() -> None:
    head = cluster(3)
    head.workflow(add(1, nodes=2, resources={"cpu": 2}))
    head.run()
    (lease,) = head.leases()
    head.started(lease)
    head.do(ev.NodeGreeted(b"L9", _hello("n2", 2, SMALL, incarnation=77)))
    stops = [effect for effect in head.take(fx.Send) if isinstance(effect.message, Cancel)]
    assert [(stop.link, stop.message.leases) for stop in stops] == [(b"L1", (lease,))]
    (again,) = head.leases()
    assert again != lease
    head.result(ok(lease))
    assert head.core.state.counters.results_stale == 1


def test_a_gang_whose_member_leaves_in_good_order_is_tried_again() -> None:
    head = cluster(2)
    head.workflow(add(1, nodes=2))
    head.run()
    (lease,) = head.leases()
    head.started(lease)
    head.say(Goodbye("enough"), b"L2")
    assert head.core.state.leases.current == {}
    assert free(head)[0] == 2000


def test_a_restarted_head_holds_all_nodes_of_a_gang() -> None:
    head = cluster(2)
    head.workflow(add(1, nodes=2, resources={"cpu": 2}))
    head.run()
    other = head.recover()
    assert [node.ledger.cpu_free for node in other.core.state.nodes.values()] == [0, 0]
    assert [len(node.guests) for node in other.core.state.nodes.values()] == [0, 1]


def test_tasks_that_keep_apart_never_share_a_node_and_block_nobody() -> None:
    head = cluster(2, Capacity(4000, 0, (), 16))
    head.workflow(*(add(number, apart="replica") for number in range(3)), add(3))
    head.run()
    orders = head.take(fx.AssignTask)
    placed = [(int.from_bytes(order.assignment.task, "big"), order.link) for order in orders]
    assert sorted(number for number, _ in placed) == [0, 1, 3]
    assert {link for number, link in placed if number < 3} == {b"L1", b"L2"}
    first = next(order for order in orders if order.assignment.task[-1] == 0)
    head.result(ok(first.assignment.lease), link=first.link)
    (third,) = head.take(fx.AssignTask)
    assert (third.assignment.task[-1], third.link) == (2, first.link)


def test_tasks_of_other_runs_with_the_same_word_may_share() -> None:
    head = cluster(1, Capacity(4000, 0, (), 16))
    head.workflow(add(0, apart="replica"))
    head.run()
    head.run(b"q" * 16)
    assert len(head.leases()) == 2


@pytest.mark.parametrize("error", [None, ErrorInfo("user", "ValueError", "no")])
@pytest.mark.parametrize("company", [{"nodes": 2}, {"apart": "x"}])
def test_everything_comes_back_however_it_ends(error: ErrorInfo | None, company: dict[str, Any]) -> None:
    head = cluster(2)
    head.workflow(add(1, limits={"api": 3}, **company))
    head.run(project="p")
    (lease,) = head.leases()
    state = head.core.state
    assert state.allowances.held == {"api": 3}
    assert state.shares.held["p"].attempts == company.get("nodes", 1)
    head.result(ok(lease) if error is None else Outcome(lease, FAILED, 1e9, 1.0, error=error))
    assert state.allowances.held == state.shares.held == {}
    assert [(node.company, node.guests, node.ledger.attempts) for node in state.nodes.values()] == [({}, {}, 0)] * 2
