"""What stands on the shelf: the last used, so many tasks in all, and always the last one."""

from __future__ import annotations

from maze_head.core.shelf import OVERHEAD, Shelf


def test_the_ones_used_longest_ago_make_room() -> None:
    shelf = Shelf(room=3 * (10 + OVERHEAD))
    assert [shelf.put(name, 10) for name in (b"a", b"b", b"c")] == [[], [], []]
    assert shelf.put(b"a", 10) == []
    assert shelf.put(b"d", 10) == [b"b"]
    assert [name in shelf for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


def test_a_large_one_makes_several_go() -> None:
    shelf = Shelf(room=3 * (10 + OVERHEAD))
    for name in (b"a", b"b", b"c"):
        shelf.put(name, 10)
    assert shelf.put(b"d", 15) == [b"a", b"b"]
    assert len(shelf) == 2


def test_the_last_one_stays_however_large_it_is() -> None:
    shelf = Shelf(room=0)
    assert shelf.put(b"a", 1_000_000) == []
    assert shelf.put(b"b", 1) == [b"a"]
    assert b"b" in shelf


def test_one_that_grew_counts_with_its_new_size() -> None:
    shelf = Shelf(room=2 * (10 + OVERHEAD))
    shelf.put(b"a", 1)
    shelf.put(b"b", 10)
    assert shelf.put(b"b", 20) == [b"a"]


def test_what_is_taken_leaves_room_and_may_be_taken_twice() -> None:
    shelf = Shelf(room=2 * (10 + OVERHEAD))
    shelf.put(b"a", 10)
    shelf.put(b"b", 10)
    shelf.take(b"a")
    shelf.take(b"a")
    assert b"a" not in shelf
    assert shelf.put(b"c", 10) == []
