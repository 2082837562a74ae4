"""The state of the disk: full at the first failed commit, good again only with room for the ballast and to spare."""

from __future__ import annotations

import pytest

from maze_head.space import Space
from maze_protocol.limits import MIB


def test_the_first_failure_makes_it_read_only_and_counts_once() -> None:
    space = Space(64 * MIB)
    assert not space.read_only
    space.fill()
    space.fill()
    assert (space.read_only, space.times_full) == (True, 1)
    space.recover()
    assert not space.read_only
    space.fill()
    assert space.times_full == 2


@pytest.mark.parametrize(
    ("ballast", "needed"), [(0, MIB), (MIB, 2 * MIB), (64 * MIB, 80 * MIB)], ids=["none", "small", "default"]
)
def test_it_needs_the_ballast_and_something_to_spare(ballast: int, needed: int) -> None:
    space = Space(ballast)
    space.fill()
    assert space.is_good_with(needed, failing=False)
    assert not space.is_good_with(needed - 1, failing=False)


def test_free_space_is_not_believed_while_a_batch_is_failing() -> None:
    space = Space(0)
    space.fill()
    assert not space.is_good_with(1 << 40, failing=True)
