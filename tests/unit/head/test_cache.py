"""The byte-bounded cache."""

from __future__ import annotations

from maze_head.cache import ByteCache


def test_the_least_recently_used_leaves_first() -> None:
    cache: ByteCache[str, int] = ByteCache(10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 4)
    assert cache.get("a") == 1
    cache.put("c", 3, 4)
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c"), cache.size, len(cache)) == (1, 3, 8, 2)


def test_an_entry_beyond_the_limit_is_not_kept() -> None:
    cache: ByteCache[str, int] = ByteCache(10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 11)
    assert (cache.get("a"), cache.get("b")) == (1, None)


def test_of_many_at_once_the_last_ones_stay() -> None:
    cache: ByteCache[str, int] = ByteCache(10)
    cache.put("a", 1, 4)
    cache.put_all([("b", 2, 4), ("c", 3, 4), ("d", 4, 1)])
    assert [cache.get(key) for key in "abcd"] == [None, 2, 3, 4]
    assert (cache.size, len(cache)) == (9, 3)


def test_replacing_counts_once() -> None:
    cache: ByteCache[str, int] = ByteCache(10)
    cache.put("a", 1, 9)
    cache.put("a", 2, 3)
    assert (cache.get("a"), cache.size) == (2, 3)
    cache.discard("a")
    cache.discard("a")
    assert (cache.get("a"), cache.size) == (None, 0)
