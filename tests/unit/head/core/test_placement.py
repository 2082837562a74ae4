"""Who gets what, and in which order: shapes, devices, caps, Python versions, fairness, cost of a pass."""

from __future__ import annotations

import hashlib

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.ledger import Ledger
from maze_protocol.declare import normalise_resources
from maze_protocol.http import AddTask, CodeBody, EditRequest
from maze_protocol.messages import CRASHED, Release
from maze_protocol.resources import Capacity, DeviceClaim, Request
from support.head_core import Head, add, ended, gpus, hello, ok, task


def request(**resources: float) -> Request:
    return Request.of(normalise_resources(resources))


def placed(head: Head) -> list[tuple[int, bytes]]:
    """Take the assignments: (task number, link)."""
    return [(int.from_bytes(effect.assignment.task, "big"), effect.link) for effect in head.take(fx.AssignTask)]


def finish(head: Head, count: int = 1) -> None:
    """Let that many leases end well, oldest first."""
    leases = list(head.core.state.leases.current.values())[:count]
    for lease in leases:
        head.result(ok(lease.token), link=lease.node.link)


@pytest.mark.parametrize(
    ("resources", "fitting"),
    [
        ({"cpu": 1}, 4),
        ({"cpu": 0.01}, 16),
        ({"cpu": 3}, 1),
        ({"cpu": 5}, 0),
        ({"cpu": 1, "cpu_mem": 2000}, 2),
        ({"cpu": 1, "gpu": 1}, 0),
    ],
)
def test_a_node_takes_as_many_as_fit(resources: dict, fitting: int) -> None:
    head = Head()
    head.workflow(*(add(number, resources=resources) for number in range(20)))
    head.greet()
    head.run()
    assert len(placed(head)) == fitting


def test_shapes_do_not_block_each_other_and_the_oldest_goes_first() -> None:
    head = Head()
    head.workflow(add(0, resources={"cpu": 3}), add(1, resources={"cpu": 3}), add(2), add(3, resources={"cpu": 2}))
    head.greet()
    head.run()
    assert [number for number, _ in placed(head)] == [0, 2]
    finish(head)
    assert [number for number, _ in placed(head)] == [1]
    finish(head, 2)
    assert [number for number, _ in placed(head)] == [3]


def test_first_in_first_out_within_a_shape_and_across_runs() -> None:
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 4}) for number in range(2)))
    head.greet()
    head.run()
    head.run(b"q" * 16)
    order = []
    for _ in range(4):
        order += [effect.assignment.run[:1] for effect in head.take(fx.AssignTask)]
        finish(head)
    assert order == [b"r", b"r", b"q", b"q"]


def test_the_least_loaded_node_is_chosen_and_work_spreads() -> None:
    head = Head()
    head.workflow(*(add(number) for number in range(6)))
    head.greet(b"A", "a", capacity=Capacity(2000, 0))
    head.greet(b"B", "b", capacity=Capacity(4000, 0))
    head.run()
    assert [link for _, link in placed(head)] == [b"A", b"B", b"B", b"A", b"B", b"B"]


def test_work_without_gpus_prefers_nodes_without_gpus() -> None:
    head = Head()
    head.workflow(*(add(number) for number in range(3)))
    head.greet(b"G", "g", capacity=gpus(8000))
    head.greet(b"C", "c", capacity=Capacity(2000, 0))
    head.run()
    assert [link for _, link in placed(head)] == [b"C", b"C", b"G"]


def test_a_node_that_joins_or_frees_room_serves_a_blocked_shape() -> None:
    head = Head()
    head.workflow(add(0, resources={"cpu": 6}), add(1, resources={"cpu": 6}))
    head.greet(b"S", "small")
    head.run()
    assert placed(head) == []
    head.greet(b"B", "big", capacity=Capacity(6000, 0))
    assert placed(head) == [(0, b"B")]
    finish(head)
    assert placed(head) == [(1, b"B")]


def test_a_returned_task_goes_first_though_later_ones_wait() -> None:
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 2}) for number in range(4)))
    head.greet()
    head.run()
    assert [number for number, _ in placed(head)] == [0, 1]
    first, second = head.core.state.leases.current
    head.say(Release((first, second)))
    assert [number for number, _ in placed(head)] == [0, 1]


def test_pickled_code_needs_its_python_and_source_any() -> None:
    source = b"def f(params): return {}"
    text = hashlib.blake2b(source, digest_size=16).hexdigest()
    head = Head()
    head.workflow()
    body = CodeBody(text, "source", (3, 99), source)
    head.ask(ev.EditWorkflow, b"w" * 16, EditRequest([AddTask(task(0, code=text))], [body]))
    head.edit(add(1))
    greeting = hello()
    other = type(greeting)(1, 1, 0, "n1", 1, greeting.capacity, (3, 12, 0), "0.1")
    head.do(ev.NodeGreeted(b"L1", other))
    head.run()
    assert placed(head) == [(0, b"L1")]
    head.greet(b"L2", "n2")
    assert placed(head) == [(1, b"L2")]


@pytest.mark.parametrize(
    "resources", [{"gpu": 1}, {"gpu": 2}, {"gpu": 0.5}, {"gpu_mem": 4000}, {"cpu": 2, "cpu_mem": 9}]
)
def test_what_is_claimed_comes_back(resources: dict) -> None:
    ledger = Ledger(gpus(8000, 16000))
    before = (ledger.cpu_free, ledger.mem_free, ledger.load)
    claims = []
    while (claim := ledger.claim(request(**resources))) is not None:
        claims.append(claim)
    assert claims
    assert not ledger.fits(request(**resources))
    for claim in claims:
        ledger.give_back(claim)
    assert (ledger.cpu_free, ledger.mem_free, ledger.load) == before
    assert all(device.untouched for device in ledger.devices.values())


def test_shares_pack_onto_one_device_and_leave_the_other_whole() -> None:
    ledger = Ledger(gpus(8000, 8000))
    parts = [ledger.claim(request(gpu=0.5)), ledger.claim(request(gpu=0.5)), ledger.claim(request(gpu=1))]
    assert [claim.devices for claim in parts if claim] == [
        (DeviceClaim(0, 500, 0),), (DeviceClaim(0, 500, 0),), (DeviceClaim(1, 1000, 8000),),
    ]  # fmt: skip
    assert ledger.claim(request(gpu=0.1)) is None


def test_shares_by_memory_do_not_exceed_it_and_take_the_tightest_device() -> None:
    ledger = Ledger(gpus(16000, 8000))
    devices = [claim.devices[0].index for _ in range(5) if (claim := ledger.claim(request(gpu_mem=5000)))]
    assert devices == [1, 0, 0, 0]


def test_whole_devices_have_the_memory_asked_for_and_the_smallest_that_will_do() -> None:
    ledger = Ledger(gpus(80000, 24000, 8000))
    claim = ledger.claim(request(gpu=1, gpu_mem=20000))
    assert claim is not None
    assert claim.devices == (DeviceClaim(1, 1000, 24000),)
    assert ledger.claim(request(gpu=2, gpu_mem=20000)) is None
    assert ledger.could_fit(request(gpu=2, gpu_mem=20000))
    assert not ledger.could_fit(request(gpu=4))


def test_a_shared_device_is_not_given_away_whole() -> None:
    ledger = Ledger(gpus(8000))
    assert ledger.claim(request(gpu_mem=1)) is not None
    assert ledger.claim(request(gpu=1)) is None


def test_a_whole_device_of_unknown_memory_is_not_shared() -> None:
    ledger = Ledger(gpus(0))
    assert ledger.claim(request(gpu=1)) is not None
    assert ledger.claim(request(gpu=0.1)) is None


def test_a_pass_costs_what_it_places_not_what_waits() -> None:
    """Count looks at tasks: 20,000 waiting ones are not touched by a pass that can place one."""
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 4}) for number in range(2000)))
    head.greet()
    for number in range(10):
        head.core.handle(_submit(number), head.now)
    head.core.schedule(head.now)
    (queue,) = head.core.state.ready.queues.values()
    (lane,) = queue.lanes.values()
    counted = _Counting(lane.entries)
    lane.entries = counted  # type: ignore[assignment]  # stands in for the deque, and counts
    (lease,) = head.core.state.leases.current.values()
    head.core.handle(ev.NodeSaid(b"L1", _result(lease.token)), head.now)
    head.core.schedule(head.now)
    assert 0 < counted.looks < 10


def _submit(number: int):
    from maze_protocol.http import RunRequest

    return ev.SubmitRun(number, bytes([number]) * 16, RunRequest("workflow_" + (b"w" * 16).hex()))


def _result(token: int):
    from maze_protocol.messages import Result

    return Result((ok(token),))


class _Counting:
    def __init__(self, entries) -> None:
        self.entries = entries
        self.looks = 0

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getattr__(self, name: str):
        self.looks += 1
        return getattr(self.entries, name)

    def __getitem__(self, index: int) -> int:
        self.looks += 1
        return self.entries[index]


def shunning() -> tuple[Head, int]:
    """Return a head whose task crashed on n1, which is free, while n2 is full; the lease that fills it."""
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}))
    head.workflow(add(2, resources={"cpu": 4}), workflow_id=b"v" * 16)
    head.greet(b"L1", "n1")
    head.run()
    (lease,) = head.leases()
    head.greet(b"L2", "n2")
    head.run(b"q" * 16, b"v" * 16)
    (other,) = head.leases()
    head.result(ended(lease, CRASHED, "crash"))
    return head, other


def test_a_task_that_crashed_waits_a_moment_for_another_node() -> None:
    head, other = shunning()
    assert head.leases() == []
    head.result(ok(other), link=b"L2")
    assert [effect.link for effect in head.take(fx.AssignTask)] == [b"L2"]


def test_and_goes_back_where_it_was_if_none_gets_free() -> None:
    head, _ = shunning()
    head.wait(1.9)
    assert head.leases() == []
    head.wait(0.2)
    assert [effect.link for effect in head.take(fx.AssignTask)] == [b"L1"]
    assert head.core.state.shunning == {}


def test_a_task_that_waits_for_another_node_blocks_nobody() -> None:
    head, _ = shunning()
    head.run(b"p" * 16, b"v" * 16)
    assert [effect.link for effect in head.take(fx.AssignTask)] == [b"L1"]


def test_the_only_node_gets_it_again_at_once() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.run()
    head.result(ended(head.leases()[0], CRASHED, "crash"))
    assert len(head.leases()) == 1
