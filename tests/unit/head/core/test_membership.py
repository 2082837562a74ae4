"""Nodes come, fall silent, return and leave; what that does to their leases."""

from __future__ import annotations

import msgspec
import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.membership import DISCONNECTED
from maze_head.core.settings import Settings
from maze_head.core.state import KEPT_NODES
from maze_protocol.events import AttemptLost, TaskFailed, TaskReleased
from maze_protocol.messages import (
    CANCELLED,
    HELD_RUNNING,
    Cancel,
    Disconnect,
    Drain,
    Goodbye,
    Measured,
    Recall,
    Reject,
    Release,
)  # fmt: skip
from maze_protocol.resources import Capacity, Device
from support.head_core import CLUSTER, Head, R, add, ended, gpus, held, hello, ok


def busy(tasks: int = 1, settings: Settings | None = None) -> tuple[Head, list[int]]:
    """Return a head whose node n1 on L1 was leased that many tasks; effects taken."""
    head = Head(settings)
    head.workflow(*(add(number) for number in range(tasks)))
    head.greet()
    head.run()
    leases = head.leases()
    head.forget()
    return head, leases


def node(head: Head, name: str = "n1"):
    return next(entry for entry in head.ask(ev.DescribeNodes).nodes if entry.node_id == name)


def test_a_hello_is_welcomed_with_the_rules_of_the_cluster() -> None:
    head = Head()
    head.greet()
    (joined,) = head.take(fx.AppendCluster)
    assert (joined.kind, joined.body["node_id"]) == ("node_joined", "n1")
    (admit,) = head.take(fx.Admit)
    welcome = admit.welcome
    assert (welcome.major, welcome.epoch, welcome.cluster_id) == (1, 1, CLUSTER)
    assert (welcome.heartbeat, welcome.suspect_after, welcome.lease_ttl) == (1.0, 3.0, 10.0)
    assert welcome.session >> 32 == 1
    head.done()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"node_id": ""}, "node_id"),
        ({"node_id": "n\n1"}, "control"),
        ({"labels": {"a": "x" * 300}}, "256"),
        ({"python": (2, 7, 0)}, "Python"),
        ({"capacity": Capacity(0, 1)}, "cpu_milli = 0"),
        ({"capacity": Capacity(-5, 1)}, "cpu_milli"),
        ({"capacity": Capacity(10**12, 1)}, "cpu_milli"),
        ({"capacity": Capacity(1, -1)}, "mem_mib"),
        ({"capacity": Capacity(1, 1, (), 0)}, "workers"),
        ({"capacity": Capacity(1, 1, (), 10**6)}, "too many workers"),
        ({"capacity": Capacity(1, 1, (Device(0, 1), Device(0, 1)))}, "one index"),
        ({"capacity": Capacity(1, 1, (Device(0, -1),))}, "device memory"),
        ({"min_major": 2, "max_major": 3}, "speaks protocol 2 to 3"),
    ],
)
def test_a_hello_that_cannot_be_true_is_refused_for_good(given: dict, word: str) -> None:
    head = Head()
    greeting = hello()
    changed = type(greeting)(**{name: given.get(name, getattr(greeting, name)) for name in greeting.__struct_fields__})
    head.do(ev.NodeGreeted(b"L1", changed))
    (refuse,) = head.take(fx.Refuse)
    assert isinstance(refuse.message, Reject)
    assert word in refuse.message.reason
    head.done()


def test_silence_makes_suspect_then_lost_and_work_goes_elsewhere() -> None:
    head, (lease,) = busy()
    head.started(lease)
    head.greet(b"L2", "n2")
    head.forget()
    head.wait(2.9)
    assert node(head).state == "ready"
    head.wait(0.2)
    assert node(head).state == "suspect"
    for _ in range(7):
        head.mono += 1
        head.beat(b"L2")
    head.done()
    head.wait(0)
    (left,) = head.take(fx.AppendCluster)
    assert left.kind == "node_lost"
    assert head.take(fx.Drop) == [fx.Drop(b"L1", Disconnect("lost", "silent for 10.1 s"))]
    lost, leased = head.log()
    assert isinstance(lost, AttemptLost)
    assert lost.error.message == "node n1 was lost while the task ran (silent for 10.1 s)"
    assert (leased.node, leased.attempt) == ("n2", 2)
    assert node(head).state == "lost"


def test_a_suspect_node_gets_no_work_and_is_trusted_again_when_heard() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.wait(5)
    head.run()
    assert head.leases() == []
    head.beat()
    assert len(head.leases()) == 1


def test_a_stall_of_the_head_extends_every_deadline() -> None:
    head, _ = busy()
    head.wait(60, stall=59)
    assert node(head).state == "ready"


def test_a_lease_that_never_started_is_not_blamed_on_a_loss() -> None:
    head, (lease,) = busy()
    head.wait(60)
    released = [event for event in head.log() if isinstance(event, TaskReleased)]
    assert [(event.lease, event.task) for event in released] == [(lease, 0)]


def test_what_may_begin_once_only_fails_with_its_node_even_if_nobody_heard_it_begin() -> None:
    head = Head()
    head.workflow(add(0, at_most_once=True))
    head.greet()
    head.run()
    head.forget()
    head.wait(10.0)
    failed, _ = head.log()
    assert isinstance(failed, TaskFailed)
    assert failed.error.kind == "node_lost"
    assert not head.leases()


@pytest.mark.parametrize("reason", DISCONNECTED)
def test_a_broken_connection_of_a_well_heard_node_is_a_loss_after_a_second(reason: str) -> None:
    head, _ = busy()
    head.do(ev.LinkLost(b"L1", reason))
    assert node(head).state == "suspect"
    head.wait(0.9)
    assert node(head).state == "suspect"
    head.wait(0.2)
    assert node(head).state == "lost"


@pytest.mark.parametrize(("reason", "heard"), [("its queue is full", 0.0), ("disconnected", 2.5)])
def test_any_other_broken_link_waits_for_the_lease_time(reason: str, heard: float) -> None:
    head, _ = busy()
    head.mono += heard
    head.do(ev.LinkLost(b"L1", reason))
    head.wait(5)
    assert node(head).state == "suspect"
    head.wait(5)
    assert node(head).state == "lost"


def test_a_task_that_outlives_five_nodes_fails_with_their_names() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    for number in range(5):
        link = b"%d" % number
        head.greet(link, f"n{number}")
        head.started(*head.leases(), link=link)
        head.wait(20)
    (failed,) = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert failed.error.kind == "node_lost"
    assert "its node was lost 5x: node n0 was lost" in failed.error.message
    assert "n4" in failed.error.message


def test_a_new_process_of_a_node_loses_the_leases_of_the_old_one_at_once() -> None:
    head, (lease,) = busy()
    head.greet(b"L2", incarnation=2, inventory=(held(lease, HELD_RUNNING),))
    (drop,) = head.take(fx.Drop)
    assert (drop.link, drop.message.code) == (b"L1", "duplicate")
    (admit,) = head.take(fx.Admit)
    assert (admit.welcome.keep, admit.welcome.drop) == ((), (lease,))
    assert [(effect.link, effect.assignment.attempt) for effect in head.take(fx.AssignTask)] == [(b"L2", 2)]


def test_a_returning_node_is_told_again_what_to_stop() -> None:
    head, (lease,) = busy()
    head.do(ev.LinkLost(b"L1", "gone"))
    head.ask(ev.CancelRun, R)
    assert head.take(fx.Send) == []
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    (cancel,) = [send.message for send in head.take(fx.Send)]
    assert isinstance(cancel, Cancel)
    assert cancel.leases == (lease,)


def test_a_lost_node_may_come_back_as_a_new_member() -> None:
    head, (lease,) = busy()
    head.wait(30)
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    (admit,) = head.take(fx.Admit)
    assert [old for old, _ in admit.welcome.keep] == [lease]
    assert node(head).state == "ready"


def test_a_draining_node_finishes_and_gets_nothing_new() -> None:
    head, (lease,) = busy()
    head.say(Drain("maintenance"))
    assert node(head).state == "draining"
    head.run(b"q" * 16)
    assert head.leases() == []
    head.result(ok(lease))
    assert head.kinds() == ["TaskStarted", "TaskFinished", "RunFinished"]


def test_goodbye_gives_back_what_is_left_without_blame() -> None:
    head, leases = busy(2)
    head.say(Goodbye("done"))
    assert head.kinds() == ["TaskReleased", "TaskReleased"]
    (left,) = head.take(fx.AppendCluster)
    assert (left.kind, left.body["reason"]) == ("node_left", "done")
    assert node(head).state == "left"
    head.greet(b"L2", "n2")
    assert [effect.assignment.task[-1] for effect in head.take(fx.AssignTask)] == [0, 1]
    assert len(leases) == 2


def test_a_released_lease_goes_to_the_front() -> None:
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 4}) for number in range(3)))
    head.greet()
    head.run()
    first, *_ = head.leases()
    head.say(Recall((first,)))
    head.say(Release((first, 12345), "drained"))
    assert [effect.assignment.task[-1] for effect in head.take(fx.AssignTask)] == [0]


def test_a_task_stopped_by_its_node_is_tried_again() -> None:
    head, (lease,) = busy()
    head.result(ended(lease, CANCELLED, "cancelled"))
    assert head.kinds() == ["TaskStarted", "AttemptLost", "TaskLeased"]


def test_departed_nodes_are_listed_within_bounds() -> None:
    head = Head()
    for number in range(KEPT_NODES + 10):
        head.mono += 0.1
        head.greet(b"L%d" % number, f"n{number}")
        head.say(Goodbye(), b"L%d" % number)
    assert len(head.ask(ev.DescribeNodes).nodes) == KEPT_NODES


def test_capacity_may_change_with_a_new_hello() -> None:
    head, _ = busy(2)
    head.greet(
        b"L2", capacity=gpus(1000, cpu=2000), inventory=tuple(held(n, 0) for n in head.core.state.leases.current)
    )
    assert (node(head).cpu, node(head).cpu_free, node(head).gpus[0]["mem_free"]) == (2.0, 0.0, 1000)
    (resized,) = [each for each in head.take(fx.AppendCluster) if each.kind == "node_resized"]
    assert resized.body["reason"] == "told when it came back"


def test_a_node_tells_what_it_has_now_and_why() -> None:
    head = Head()
    head.greet(capacity=gpus(1000, 1000))
    head.forget()
    head.say(Measured(gpus(400), "GPU 1 is gone"))
    (resized,) = head.take(fx.AppendCluster)
    assert (resized.kind, resized.body["node_id"], resized.body["reason"]) == ("node_resized", "n1", "GPU 1 is gone")
    assert [gpu["mem"] for gpu in node(head).gpus] == [400]


def test_other_origins_alone_are_no_news() -> None:
    head = Head()
    head.greet(capacity=gpus(1000))
    head.forget()
    head.say(Measured(msgspec.structs.replace(gpus(1000), origins=(("gpu", "NVML"),))))
    assert head.take(fx.AppendCluster) == []
    assert node(head).origins == {"gpu": "NVML"}


def test_what_shrank_below_what_runs_has_nothing_free() -> None:
    head, _ = busy(4)
    head.say(Measured(gpus(cpu=2000), "a quota"))
    assert (node(head).cpu, node(head).cpu_free, node(head).running) == (2.0, 0.0, 4)


def test_the_time_that_a_node_has_left_is_told_and_runs_down() -> None:
    head = Head()
    head.greet(remaining=60.0)
    head.greet(b"L2", "n2")
    head.wait(1.0)
    assert node(head).remaining_s == 59.0
    assert node(head, "n2").remaining_s is None
