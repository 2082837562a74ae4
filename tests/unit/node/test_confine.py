"""How a sandboxed attempt is shut in, and that nothing else ever runs in its worker."""

from __future__ import annotations

import pytest

from maze_node.core.confine import confine
from maze_node.core.effects import Dismiss, Start
from maze_node.core.events import WorkerExited
from maze_node.frames import Sandbox
from maze_protocol.messages import SANDBOX
from maze_protocol.resources import Claim, DeviceClaim
from support.node_core import Rig, make_assignment


def test_who_did_not_ask_is_not_shut_in() -> None:
    assert confine(make_assignment(1, timeout=5.0, claim=Claim(1000, 100)), cut_network=True) is None


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, (0, 0)),
        ({"timeout": 1.5}, (2, 0)),
        ({"timeout": 1.5, "claim": Claim(2500, 0)}, (5, 0)),
        ({"timeout": 10.0, "claim": Claim(100, 64)}, (10, 64)),
        ({"claim": Claim(1000, 64, (DeviceClaim(0, 1000, 0),))}, (0, 0)),  # CUDA reserves more addresses than it takes
    ],
)
def test_limits_are_what_the_task_declares(fields: dict[str, object], limits: tuple[int, int]) -> None:
    assignment = make_assignment(1, flags=SANDBOX, **fields)
    for cut in (True, False):
        assert confine(assignment, cut_network=cut) == Sandbox(cut, *limits)


def test_a_worker_serves_one_sandboxed_attempt_and_goes() -> None:
    rig = Rig()
    rig.agent.shut_in(cuts_network=True)
    rig.assign(make_assignment(1))
    rig.report(rig.worker_of(1), 1)
    rig.assign(make_assignment(2, flags=SANDBOX))
    first, second = rig.worker_of(1), rig.worker_of(2)
    assert first != second, "nor does it run where others have run"
    assert [start.frame.sandbox for start in rig.all(Start)] == [None, Sandbox(True)]
    rig.report(second, 2)
    assert [order.worker for order in rig.all(Dismiss)] == [second]
    rig.assign(make_assignment(3), make_assignment(4, flags=SANDBOX))
    assert second not in {rig.worker_of(3), rig.worker_of(4)}


def test_what_it_held_is_free_when_its_worker_is_gone() -> None:
    rig = Rig()
    whole = Claim(4000, 0)
    rig.assign(make_assignment(1, flags=SANDBOX, claim=whole), make_assignment(2, claim=whole))
    worker = rig.worker_of(1)
    rig.report(worker, 1)
    assert [start.frame.lease for start in rig.all(Start)] == [1]
    rig.do(WorkerExited(worker, "", 0, 0, 0.0))
    assert [start.frame.lease for start in rig.all(Start)] == [1, 2]


def test_sandboxed_attempts_of_one_grant_have_a_worker_each() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1, flags=SANDBOX), make_assignment(2, grant=1, flags=SANDBOX))
    first = rig.worker_of(1)
    rig.report(first, 1)
    rig.do(WorkerExited(first, "", 0, 0, 0.0))
    assert rig.worker_of(2) != first
