"""Every waiting task can say why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from maze_head.core import events as ev
from maze_head.core.errors import NotFound
from maze_protocol.http import Op
from maze_protocol.messages import CRASHED, FAILED, Drain
from maze_protocol.resources import Capacity
from maze_protocol.waiting import Explanation, Nearest, Reason
from support.head_core import Head, R, add, edge, ended, gpus, ok, raw

NEVER = "no node could ever take it; nearest fit: n1 "
SMALL = Capacity(2000, 1024, (), 4)


def why(head: Head, number: int) -> Explanation:
    return head.ask(ev.ExplainTask, R, raw(number))


def running(*ops: Op) -> Head:
    head = Head()
    head.workflow(*ops)
    head.greet()
    head.run()
    return head


def code_and_text(head: Head, number: int) -> tuple[str, str]:
    answer = why(head, number)
    return answer.code, answer.text


# -- one case for each code -----------------------------------------------------------------------------------------


def over() -> Head:
    head = running(add(1), add(2))
    head.result(ok(head.leases()[0]))
    return head


def stopping() -> Head:
    head = running(add(1), add(2))
    head.ask(ev.CancelRun, R)
    return head


def pausing() -> Head:
    head = running(add(1, retries=3, retry_backoff=10))
    head.result(ended(head.leases()[0], FAILED, "user"))
    return head


def full_disk() -> Head:
    head = running(add(1), add(2, resources={"cpu": 4}))
    head.do(ev.DiskTurned(full=True))
    return head


def no_node() -> Head:
    head = Head()
    head.workflow(add(1))
    head.run()
    return head


def other_python() -> Head:
    head = Head()
    head.workflow(add(1))
    head.greet(python=(3, 9, 1))
    head.run()
    return head


def away() -> Head:
    head = running(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    head.greet(b"L2", "n2", capacity=SMALL)
    head.do(ev.LinkLost(b"L1", "timeout"))
    return head


CASES: dict[Reason, tuple[Callable[[], Head], int, str]] = {
    Reason.OVER: (over, 1, "the task is finished"),
    Reason.RUN_CANCELLING: (stopping, 1, "the run is stopping; node n1 was told to stop the task"),
    Reason.HELD: (lambda: running(add(1)), 1, "the task is leased on node n1"),
    Reason.WAITING_INPUTS: (
        lambda: running(add(1), add(2), add(3, 1), edge(2, 3)), 3, "the task waits for 't1' (leased), 't2' (leased)",
    ),
    Reason.BACKOFF: (pausing, 1, "the task failed 1x and is tried again in "),
    Reason.DISK_FULL: (
        full_disk, 2, "the disk of the head's state directory is full; free space there, and it goes on",
    ),
    Reason.NO_NODE: (
        no_node, 1, "no node can take work: none has joined; start one: maze-node --head ADDRESS",
    ),
    Reason.INFEASIBLE: (
        lambda: running(add(1, resources={"cpu": 8})), 1,
        NEVER + "has 4 CPUs, it asks for 8; ask for less, or start a node that has it",
    ),
    Reason.PYTHON_MISMATCH: (
        other_python, 1,
        NEVER + "runs Python 3.9, its code needs 3.11; start a node with Python 3.11, or submit it from theirs",
    ),
    Reason.NODE_UNAVAILABLE: (away, 2, "the nodes that could take it take no work now: n1 is suspect"),
    Reason.NO_CAPACITY_NOW: (
        lambda: running(add(1, resources={"cpu": 3}), add(2, resources={"cpu": 2})), 2,
        "every node that could take it is busy: n1 (1 running); nearest fit: n1 has 1 CPU free, it asks for 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.value)
def test_each_reason_is_told_by_its_code_and_in_words(reason: Reason) -> None:
    make, number, text = CASES[reason]
    answer = why(make(), number)
    assert answer.code == reason.value
    assert answer.text.startswith(text)


# -- what programs read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "text", "missing"),
    [
        ({"cpu": 5}, "has 4 CPUs, it asks for 5", {"cpu": (5.0, 4.0)}),
        ({"cpu_mem": 10_000}, "has 4096 MiB of memory, it asks for 10000", {"cpu_mem": (10_000, 4096)}),
        ({"gpu": 2}, "has 0 GPUs, it asks for 2", {"gpu": (2, 0)}),
        ({"gpu_mem": 10}, "has no GPU, it asks for a share of one", {"gpu": (1.0, 0.0)}),
        (
            {"cpu": 5, "cpu_mem": 10_000},
            "has 4 CPUs, it asks for 5, and has 4096 MiB of memory, it asks for 10000",
            {"cpu": (5.0, 4.0), "cpu_mem": (10_000, 4096)},
        ),
    ],
)
def test_infeasible_says_what_is_missing(resources: dict, text: str, missing: dict) -> None:
    answer = why(running(add(1, resources=resources)), 1)
    assert answer.code == "infeasible"
    assert f"; nearest fit: n1 {text}; " in answer.text
    assert answer.nearest == Nearest("n1", missing)


def test_the_nearest_is_the_node_that_lacks_least() -> None:
    head = running(add(1, resources={"cpu": 9, "gpu": 1}))
    assert why(head, 1).nearest == Nearest("n1", {"cpu": (9.0, 4.0), "gpu": (1, 0)})
    head.greet(b"L2", "n2", capacity=gpus(8000))
    answer = why(head, 1)
    assert answer.nearest == Nearest("n2", {"cpu": (9.0, 8.0)})
    assert answer.nodes == ["n1", "n2"]


def test_what_all_nodes_lack_has_its_own_code_and_all_that_is_missing_is_told() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 6, "cpu_mem": 70_000}))
    head.greet(python=(3, 9, 0))
    head.greet(b"L2", "n2", capacity=gpus(1), python=(3, 9, 0))
    head.run()
    answer = why(head, 1)
    assert answer.code == "python_mismatch"
    assert answer.nearest == Nearest("n2", {"python": ("3.11", "3.9"), "cpu_mem": (70_000, 65_536)})


def test_a_pause_says_until_when() -> None:
    head = pausing()
    until = why(head, 1).until
    assert until is not None
    assert head.now.wall < until <= head.now.wall + 10


def test_nodes_that_take_no_work_are_named_with_their_state() -> None:
    head = running(add(1, resources={"cpu": 9}), add(2, resources={"cpu": 9}))
    head.say(Drain())
    answer = why(head, 1)
    assert (answer.code, answer.nodes) == ("no_node", ["n1"])
    assert answer.text.startswith("no node can take work: n1 is draining; ")
    head.greet(b"L2", "n2", capacity=gpus())
    assert why(head, 1).code == "infeasible"
    for number in range(3, 7):
        head.greet(f"L{number}".encode(), f"n{number}")
        head.do(ev.LinkLost(f"L{number}".encode(), "timeout"))
    head.do(ev.LinkLost(b"L2", "timeout"))
    assert why(head, 1).text.startswith(
        "no node can take work: n1 is draining, n2 is suspect, n3 is suspect and 3 more; "
    )


def test_the_inputs_of_a_task_are_named_up_to_three() -> None:
    head = running(*(add(number) for number in range(1, 6)), add(6, 1, 2, 3, 4, 5))
    assert why(head, 6).text == "the task waits for 't1' (leased), 't2' (leased), 't3' (leased) and 2 more"


def test_a_run_that_is_over_says_how() -> None:
    head = running(add(1), add(2, 1))
    head.ask(ev.CancelRun, R)
    head.result(ended(head.leases()[0], CRASHED, "crash"))
    assert why(head, 2) == Explanation("over", "the run is cancelled")


def test_unknown_task() -> None:
    with pytest.raises(NotFound):
        why(running(add(1)), 7)
