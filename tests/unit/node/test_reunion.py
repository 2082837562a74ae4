"""What becomes of held leases when a head is met again."""

from __future__ import annotations

from maze_node.core.effects import Effect, RenameLog, Signal
from maze_node.core.events import WorkerExited
from maze_protocol.messages import CRASHED, HELD_DONE, HELD_LEASED, HELD_RUNNING, Release, Result
from support.node_core import Rig, make_assignment, of


def met_again(rig: Rig, **welcome: object) -> list[Effect]:
    before = len(rig.effects)
    rig.welcome(session=2, **welcome)
    return rig.effects[before:]


def with_three() -> Rig:
    """A rig that has finished lease 1, runs 2, and holds 3 back behind it."""
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2), make_assignment(3, grant=2))
    rig.report(rig.worker_of(1), 1)
    return rig


def test_the_inventory_tells_each_lease_with_its_state() -> None:
    held = {each.lease: each.state for each in with_three().agent.inventory()}
    assert held == {1: HELD_DONE, 2: HELD_RUNNING, 3: HELD_LEASED}


def test_what_is_kept_goes_on_under_its_new_token() -> None:
    rig = with_three()
    effects = met_again(rig, keep=((1, 11), (2, 12), (3, 3)))
    assert {each.lease for each in rig.agent.inventory()} == {11, 12, 3}
    assert [outcome.lease for said in of(effects, Result) for outcome in said.items] == [11]
    assert of(effects, RenameLog) == [RenameLog(1, 11), RenameLog(2, 12)]
    (result,) = of(rig.report(rig.worker_of(2), 12), Result)
    assert result.items[0].lease == 12


def test_what_is_kept_and_not_here_any_more_is_released() -> None:
    rig = with_three()
    effects = met_again(rig, keep=((9, 19),))
    assert of(effects, Release) == [Release((19,), "let go while the head was away")]


def test_what_ended_for_an_earlier_head_is_not_released_as_if_it_had_never_begun() -> None:
    """Seeds 422715 and 443639: a head that had lost the end of its journal came back for what it had given up."""
    rig = with_three()
    met_again(rig, drop=(2,))
    assert {each.lease: each.state for each in rig.agent.inventory()}[2] == HELD_RUNNING
    rig.do(WorkerExited(rig.worker_of(2), "SIGKILL"))
    before = len(rig.effects)
    rig.welcome(session=3, keep=((2, 2),))
    effects = rig.effects[before:]
    assert of(effects, Release) == []
    (told,) = [each for said in of(effects, Result) for each in said.items if each.lease == 2]
    assert (told.status, told.error.kind, told.error.type_name) == (CRASHED, "node_lost", "Abandoned")


def test_what_is_dropped_leaves_without_a_word() -> None:
    rig = with_three()
    effects = met_again(rig, drop=(1, 2, 3))
    assert of(effects, Signal) == [Signal(rig.worker_of(2), "SIGKILL")]
    effects += rig.do(WorkerExited(rig.worker_of(2), "SIGKILL"))
    assert (rig.agent.inventory(), of(effects, Result)) == ((), [])


def test_another_cluster_s_head_gets_nothing() -> None:
    rig = with_three()
    met_again(rig, cluster_id=b"other")
    rig.do(WorkerExited(rig.worker_of(2), "SIGKILL"))
    assert rig.agent.inventory() == ()
