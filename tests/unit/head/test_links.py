"""The table of links: live ones apart, strangers bounded."""

from __future__ import annotations

from maze_head.links import MAX_STRANGERS, Link, LinkTable
from maze_protocol.codec import Envelope
from support.messages import make_hello, make_welcome


def greeted(number: int) -> Link:
    link = Link(b"%d" % number, number, 0.0)
    link.session.receive(Envelope(0, 0, 0, make_hello()), (), 0.0)
    return link


def test_links_are_found_by_id_and_descriptor() -> None:
    table, link = LinkTable(), greeted(1)
    table.add(link)
    assert table.get(b"1") is table.by_fd(1) is link
    assert table.get(b"2") is table.by_fd(2) is None
    table.remove(link)
    table.remove(link)
    assert table.get(b"1") is table.by_fd(1) is None


def test_a_link_moves_with_its_session() -> None:
    table, link = LinkTable(), greeted(1)
    table.add(link)
    assert (table.live, table.strangers()) == (0, [link])
    link.session.accept(make_welcome(), 0.0)
    table.sort(link)
    table.sort(link)
    assert (table.live, table.strangers(), len(table), list(table.all())) == (1, [], 1, [link])


def test_a_link_that_is_gone_is_not_sorted_back_in() -> None:
    table, link = LinkTable(), greeted(1)
    table.add(link)
    table.remove(link)
    table.sort(link)
    assert len(table) == 0


def test_the_oldest_stranger_makes_room() -> None:
    table = LinkTable()
    assert [table.add(greeted(number)) for number in range(MAX_STRANGERS)] == [None] * MAX_STRANGERS
    displaced = table.add(greeted(MAX_STRANGERS))
    assert displaced is not None
    assert (displaced.id, len(table)) == (b"0", MAX_STRANGERS)


def test_a_descriptor_that_is_used_again_belongs_to_the_newer_link() -> None:
    table = LinkTable()
    old, new = Link(b"old", 7, 0.0), Link(b"new", 7, 0.0)
    table.add(old)
    table.add(new)
    table.remove(old)
    assert table.by_fd(7) is new
