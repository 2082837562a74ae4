"""What a node offers, under any readings: never more than two in a row deny, never less than all of them allow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_node.core.offer import RISE, STEP_MIB, STEP_SHARE, Offer, Survey, Use
from maze_protocol.resources import Capacity, Device

TOTAL = 24_000
READING = st.tuples(st.integers(0, TOTAL), st.one_of(st.none(), st.integers(0, TOTAL)), st.booleans())


def survey(free: int, own: int | None) -> Survey:
    return Survey(Capacity(1000, 0, (Device(0, TOTAL, "GPU-a"),)), (Use("GPU-a", free, own),))


@given(first=st.integers(0, TOTAL), readings=st.lists(READING, max_size=40), last=st.integers(0, TOTAL))
def test_the_offer_follows_the_readings_and_nothing_else(first: int, readings: list, last: int) -> None:
    offer = Offer(survey(first, 0))
    known = [first] * RISE
    for free, own, held in readings:
        before = offer.now.devices[0].mem_mib
        offer.take(survey(free, own), lambda index, held=held: held)
        offered = offer.now.devices[0].mem_mib
        if own is None and held:
            assert offered == before, "what cannot be told apart changes nothing"
        else:
            known.append(free + (own or 0))
        assert offered <= max(known[-2:])
        assert offered >= min(TOTAL, *known[-RISE:])
        assert offered in (before, *(min(TOTAL, each) for each in known[-RISE:])), "nothing is made up"
        if offer.news():
            assert offer.tell() == offer.now
        else:
            difference = abs(offer.told.devices[0].mem_mib - offered)
            assert difference < max(STEP_MIB, STEP_SHARE * TOTAL), "the head is never far from the truth"
    for _ in range(RISE):
        offer.take(survey(last, 0), lambda index: True)
    assert offer.now.devices[0].mem_mib == last, "what lasts is believed"
