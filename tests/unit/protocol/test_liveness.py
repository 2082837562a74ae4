"""maze_protocol.liveness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.liveness import Liveness, NodeLiveness

ALIVE, SUSPECT, LOST = Liveness


def make_node(heard_at: float = 100.0) -> NodeLiveness:
    return NodeLiveness(heard_at, suspect_after=3.0, lost_after=10.0)


@pytest.mark.parametrize(
    ("now", "state"), [(100.0, ALIVE), (102.9, ALIVE), (103.0, SUSPECT), (109.9, SUSPECT), (110.0, LOST), (1e9, LOST)]
)
def test_silence_is_judged_by_its_length(now: float, state: Liveness) -> None:
    assert make_node().state(now) is state


def test_a_sign_of_life_ends_every_doubt() -> None:
    node = make_node()
    node.doubt(lost_at=101.0)
    node.heard(102.0)
    assert node.state(104.9) is ALIVE
    assert node.deadline() == 112.0


def test_a_doubt_suspects_at_once() -> None:
    node = make_node()
    node.doubt()
    assert node.state(100.0) is SUSPECT
    assert node.deadline() == 110.0


def test_a_doubt_may_shorten_the_deadline_but_never_lengthen_it() -> None:
    node = make_node()
    node.doubt(lost_at=101.0)
    node.doubt(lost_at=200.0)
    assert node.deadline() == 101.0
    assert node.state(101.0) is LOST


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_stall_of_our_own_moves_every_deadline(stall: float, silence: float) -> None:
    patient, strict = make_node(0.0), make_node(0.0)
    patient.extend(stall)
    states = list(Liveness)
    assert states.index(patient.state(silence)) <= states.index(strict.state(silence))
    assert patient.deadline() == pytest.approx(10.0 + stall)
    if stall > 3.0:
        assert patient.state(stall) is ALIVE


@pytest.mark.parametrize(("suspect", "lost"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_limits_out_of_order_are_refused(suspect: float, lost: float) -> None:
    with pytest.raises(ValueError, match="need 0 < suspect_after <= lost_after"):
        NodeLiveness(0.0, suspect_after=suspect, lost_after=lost)
