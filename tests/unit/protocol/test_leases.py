"""maze_protocol.leases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.leases import counter_of, epoch_of, make_lease

PART = st.integers(1, 2**32 - 1)


@given(PART, PART)
def test_a_token_holds_its_parts(epoch: int, counter: int) -> None:
    lease = make_lease(epoch, counter)
    assert (epoch_of(lease), counter_of(lease)) == (epoch, counter)
    assert lease < 2**64


@given(PART, PART, PART, PART)
def test_tokens_of_a_later_epoch_are_greater(one: int, two: int, first: int, second: int) -> None:
    assert (make_lease(one, first) < make_lease(two, second)) == ((one, first) < (two, second))


@pytest.mark.parametrize(("epoch", "counter"), [(0, 1), (1, 0), (-1, 1), (2**32, 1), (1, 2**32)])
def test_a_part_out_of_range_is_refused(epoch: int, counter: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        make_lease(epoch, counter)
