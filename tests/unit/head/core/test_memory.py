"""Attempts that ended for lack of memory: one more, alone and with a larger claim, and the story of a second lack."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import events as ev
from maze_head.core.memory import larger_claim
from maze_head.core.retry import crash_of, lacked_memory, spent
from maze_protocol.events import AttemptLost, TaskFailed
from maze_protocol.messages import CRASHED, FAILED, ErrorInfo, Outcome
from maze_protocol.resources import Capacity
from support.head_core import Head, R, add, ended, ok


@pytest.mark.parametrize(
    ("claimed", "peak", "most", "claim"),
    [
        (500, 570, 9000, 1000),
        (500, 901, 9000, 1352),
        (500, 570, 900, 900),
        (500, 900, 900, 0),
        (500, 900, 901, 901),
        (1000, 0, 900, 0),
        (0, 300, 9000, 450),
        (0, 0, 9000, 9000),
        (0, 0, 0, 0),
    ],
)
def test_the_next_claim_is_larger_and_no_node_is_asked_for_more_than_it_has(
    claimed: int, peak: int, most: int, claim: int
) -> None:
    assert larger_claim(claimed, peak, most) == claim


def test_what_is_a_lack_of_memory() -> None:
    assert lacked_memory(ErrorInfo("memory", "MemoryExceeded", ""))
    assert lacked_memory(ErrorInfo("crash", "WorkerCrashed", "", oom=True))
    assert lacked_memory(crash_of(ErrorInfo("odd", "WorkerCrashed", "", oom=True)))
    assert not lacked_memory(ErrorInfo("crash", "WorkerCrashed", ""))
    assert not lacked_memory(ErrorInfo("user", "MemoryError", ""))
    assert not lacked_memory(ErrorInfo("memory", "DeviceMemoryExceeded", "")), "the claim of a device does not grow"


def test_it_costs_no_budget_of_crashes() -> None:
    crash = ErrorInfo("crash", "WorkerCrashed", "SIGSEGV", signal="SIGSEGV")
    lack = ErrorInfo("crash", "WorkerCrashed", "SIGKILL", signal="SIGKILL", oom=True)
    assert spent([lack, crash], crash, 3) is None
    final = spent([crash, lack, crash], crash, 3)
    assert final is not None
    assert final.message.endswith("the worker died 3x: SIGSEGV, SIGSEGV, SIGSEGV")


def started(**given: Any) -> tuple[Head, int]:
    """Return a head whose only task runs on n1, a node with 4,096 MiB; effects taken."""
    head = Head()
    head.workflow(add(1, **given))
    head.greet()
    head.run()
    (lease,) = head.leases()
    head.started(lease)
    head.forget()
    return head, lease


def exceeded(lease: int, peak: int) -> Outcome:
    return ended(lease, FAILED, "memory", name="MemoryExceeded", peak_mib=peak)


def killed(lease: int, peak: int) -> Outcome:
    error = ErrorInfo("crash", "WorkerCrashed", "SIGKILL (out of memory)", signal="SIGKILL", oom=True)
    return Outcome(lease, CRASHED, 1e9, 2.5, error=error, peak_rss_kib=peak * 1024)


def lost(head: Head) -> AttemptLost:
    return next(event for event in head.log() if isinstance(event, AttemptLost))


def failed(head: Head) -> TaskFailed:
    return next(event for event in head.log() if isinstance(event, TaskFailed))


def test_an_attempt_beyond_its_claim_is_followed_by_one_with_a_larger_claim() -> None:
    head, lease = started(resources={"cpu_mem": 500})
    head.result(exceeded(lease, 570))
    event = lost(head)
    assert (event.mem_mib, event.not_before, event.node, event.error.peak_mib) == (1000, 0.0, "n1", 570)
    (run,) = head.core.state.runs.values()
    assert run.grown == {0: 1000}
    (second,) = head.leases()
    head.result(ok(second))
    assert head.kinds()[-1] == "RunFinished"


def test_a_kill_by_the_kernel_counts_alike_and_tells_what_the_worker_had() -> None:
    head, lease = started()
    head.result(killed(lease, 700))
    assert (lost(head).mem_mib, head.core.state.runs[1].faults[0][0].peak_mib) == (1050, 700)


@pytest.mark.parametrize("second_kind", [exceeded, killed])
def test_a_second_lack_fails_with_the_story_of_both(second_kind: Any) -> None:
    head, lease = started(resources={"cpu_mem": 500}, retries=3)
    head.result(exceeded(lease, 570))
    (second,) = head.leases()
    claim = head.core.state.leases.current[second].claim.mem_mib
    head.forget()
    head.result(second_kind(second, 1200))
    error = failed(head).error
    assert "tried twice: it had 570 MiB of 500 MiB claimed, then, alone on its node, 1,200 MiB of" in error.message
    assert error.message.endswith(f" {claim:,} MiB claimed")
    assert error.peak_mib == 1200


def test_the_retries_of_its_author_are_all_left() -> None:
    head, lease = started(resources={"cpu_mem": 500}, retries=1, retry_backoff=0)
    head.result(exceeded(lease, 570))
    (second,) = head.leases()
    head.result(ended(second, FAILED, "user"))
    (third,) = head.leases()
    head.forget()
    head.result(ended(third, FAILED, "user"))
    assert failed(head).attempt == 3


def test_if_no_node_has_more_it_fails_at_once_and_says_so() -> None:
    head, lease = started(resources={"cpu_mem": 4000})
    head.result(exceeded(lease, 4400))
    event = failed(head)
    assert event.error.message == "bad thing; no node that could take the task has more than 4,096 MiB"


def test_a_larger_node_is_asked_for_what_it_has() -> None:
    head, lease = started(resources={"cpu_mem": 3000})
    head.greet(b"L2", "n2", capacity=Capacity(4000, 5000, (), 16))
    head.greet(b"L3", "n3", capacity=Capacity(500, 64_000, (), 16))
    head.forget()
    head.result(exceeded(lease, 3400))
    assert lost(head).mem_mib == 5000, "n3 is larger, but has no CPU for the task"


def test_a_gang_asks_for_no_more_than_its_last_node_has() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu_mem": 3000}, nodes=2))
    for number, mib in ((1, 4096), (2, 5000), (3, 9000)):
        head.greet(b"L%d" % number, f"n{number}", capacity=Capacity(4000, mib, (), 16))
    head.run()
    (lease,) = head.leases()
    holder = head.core.state.leases.current[lease].node
    head.forget()
    assert holder.link is not None
    head.result(exceeded(lease, 3400), link=holder.link)
    assert lost(head).mem_mib == 5000


def test_what_may_be_started_once_only_is_not_tried_again() -> None:
    head, lease = started(resources={"cpu_mem": 500}, at_most_once=True)
    head.result(exceeded(lease, 570))
    assert failed(head).error.message == "bad thing"


def test_a_lack_of_memory_of_a_device_fails_at_once() -> None:
    head, lease = started()
    head.result(ended(lease, FAILED, "memory", name="DeviceMemoryExceeded", peak_mib=9000))
    assert failed(head).error.type_name == "DeviceMemoryExceeded"


def test_a_run_that_stops_tries_nothing_again() -> None:
    head, lease = started(resources={"cpu_mem": 500})
    head.ask(ev.CancelRun, R)
    head.result(exceeded(lease, 570))
    assert head.kinds()[-1] == "RunCancelled"


def test_the_larger_claim_outlives_the_head() -> None:
    head, lease = started(resources={"cpu_mem": 500})
    head.result(exceeded(lease, 570))
    other = head.recover()
    (run,) = other.core.state.runs.values()
    assert run.grown == {0: 1000}
