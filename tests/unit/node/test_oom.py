"""The kernel's count of kills for lack of memory."""

from __future__ import annotations

from maze_node.oom import MARKS, OomWatch, oom_kills


def test_a_kill_is_seen_for_a_while_and_then_forgotten() -> None:
    count = 7
    watch = OomWatch(lambda: count)
    watch.tick()
    assert not watch.seen()
    count = 8
    for _ in range(MARKS - 1):
        assert watch.seen()
        watch.tick()
    assert watch.seen()
    watch.tick()
    assert not watch.seen()


def test_the_kernel_counts_or_says_that_it_does_not() -> None:
    assert oom_kills() >= -1
    assert not OomWatch(lambda: -1).seen()
