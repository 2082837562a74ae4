"""Workers that die before they had a task."""

from __future__ import annotations

from maze_node.core.forking import MAX_DELAY, ForkHealth
from maze_node.core.roster import Stage, Worker


def idle(since: float) -> Worker:
    return Worker(1, Stage.IDLE, idle_since=since)


def test_the_first_failure_delays_nothing_and_more_of_them_ever_longer() -> None:
    health = ForkHealth()
    health.failed(10.0, blameless=False)
    assert (health.failures, health.may_fork(10.0)) == (1, True)
    health.failed(10.0, blameless=False)
    assert not health.may_fork(10.1)
    assert health.may_fork(10.2)
    for _ in range(20):
        health.failed(20.0, blameless=False)
    assert not health.may_fork(20.0 + MAX_DELAY - 0.1)
    assert health.may_fork(20.0 + MAX_DELAY)


def test_what_a_dying_spawner_takes_along_is_one_failure() -> None:
    health = ForkHealth()
    for _ in range(9):
        health.failed(10.0, blameless=True)
    assert health.failures == 1
    health.failed(11.0, blameless=True)
    assert health.failures == 2


def test_a_worker_that_lives_for_a_second_ends_the_row_but_not_one_that_was_there_before() -> None:
    health = ForkHealth()
    health.failed(10.0, blameless=False)
    health.look_at([idle(9.0)], 20.0)
    health.look_at([idle(10.5)], 11.4)
    assert health.failures == 1
    health.look_at([idle(10.5)], 11.5)
    assert health.failures == 0


def test_a_report_ends_the_row_and_its_delay() -> None:
    health = ForkHealth()
    for _ in range(5):
        health.failed(10.0, blameless=False)
    health.succeeded()
    assert (health.failures, health.may_fork(10.0)) == (0, True)
