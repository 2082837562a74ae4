"""Every waiting task can say why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from maze_head.core import events as ev
from maze_head.core.allowances import Limit
from maze_head.core.errors import NotFound
from maze_head.core.settings import Settings
from maze_head.core.shares import Cap, Rules
from maze_protocol.http import CodeBody, EditRequest, Op, RunRequest, WorkflowRequest
from maze_protocol.ids import format_id
from maze_protocol.messages import CRASHED, FAILED, Drain, ErrorInfo, Outcome, Result
from maze_protocol.rates import Rate
from maze_protocol.resources import Capacity
from maze_protocol.waiting import Explanation, Nearest, Reason
from support.head_core import CODE, CODE_BODY, Head, R, W, add, edge, ended, gpus, large, ok, raw, tid

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


def about_to_leave() -> Head:
    head = Head()
    head.workflow(add(1, timeout=300))
    head.greet(remaining=60.0)
    head.run()
    return head


def at_its_limit() -> Head:
    head = Head()
    head.core.state.allowances.set("openai", Limit(concurrency=1), head.mono)
    head.workflow(add(1, limits={"openai": 1}), add(2, limits={"openai": 1}))
    head.greet()
    head.run()
    return head


def at_its_cap() -> Head:
    head = Head()
    head.core.state.shares.set("lab", Rules(cap=Cap(tasks=1)))
    head.workflow(add(1), add(2))
    head.greet()
    head.run(project="lab")
    return head


def followed() -> Head:
    head = running(add(1), add(2, resources={"cpu": 3}), add(3, 1, same_node_as=tid(1), resources={"cpu": 2}))
    head.greet(b"L2", "n2", capacity=gpus())
    head.result(ok(head.leases()[0]))
    return head


def kept() -> Head:
    # Half of n1 is free, and kept for t3, which needs all of it and has waited for half a minute; t4 may take an hour.
    head = Head(Settings(reserve_after=30.0))
    head.workflow(add(1, resources={"cpu": 2}), add(2, resources={"cpu": 2}), add(3, resources={"cpu": 4}))
    head.workflow(add(4, timeout=3600), workflow_id=b"x" * 16)
    head.greet()
    head.run(b"s" * 16)
    head.result(ok(head.leases()[0]))
    for _ in range(31):
        head.wait(1)
        head.beat()
    head.run(R, b"x" * 16)
    return head


def in_company() -> Head:
    return running(add(1, apart="db"), add(2, apart="db"))


def shunned() -> Head:
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    head.greet()
    head.greet(b"L2", "n2")
    head.run()
    head.result(ended(head.leases()[0], CRASHED, "crash"))
    return head


def between_passes() -> Head:
    head = running(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    head.core.handle(ev.NodeSaid(b"L1", Result((ok(head.leases()[0]),))), head.now)
    return head


def away() -> Head:
    head = running(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    head.greet(b"L2", "n2", capacity=SMALL)
    head.do(ev.LinkLost(b"L1", "timeout"))
    return head


def fetching() -> Head:
    """Have a large input on a node without room, and room on a node that cannot fetch it."""
    head = Head()
    head.workflow(add(1), add(2, 1, resources={"cpu": 3}), add(3, resources={"cpu": 2}))
    head.meet()
    head.run()
    one, _ = head.leases()
    head.greet(b"L2", "n2", minor=2)
    head.result(large(one))
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
    Reason.LABEL_MISMATCH: (
        lambda: running(add(1, require={"zone": "a"})), 1,
        NEVER + "has no label zone, it asks for zone=a; start a node with --label zone=a",
    ),
    Reason.LEAVING: (
        about_to_leave, 1,
        NEVER + "leaves in 60 s, it may take 300 s; start a node that stays, or give it a shorter timeout",
    ),
    Reason.LIMIT_REACHED: (at_its_limit, 2, "1 of 1 units of limit 'openai' are held, and it needs 1"),
    Reason.PROJECT_CAP: (at_its_cap, 2, "project 'lab' has 1 of 1 tasks that its cap allows"),
    Reason.SAME_NODE: (
        followed, 3, "it has to run on n1, where 't1' ran, and n1 has 1 CPU free, it asks for 2",
    ),
    Reason.RESERVED: (
        kept, 4, f"room on n1 is kept for 't3' of {format_id(b's' * 16, 'run')}, which has waited 31 s",
    ),
    Reason.APART: (
        in_company, 2,
        "it keeps apart from the tasks of its run that say 'db', and one is on each node with room: n1",
    ),
    Reason.OLD_NODE: (
        fetching, 2,
        "it has large inputs, and the nodes with room are of a version that cannot fetch them: n2; update them",
    ),
    Reason.SHUNNING: (shunned, 1, "it failed on n1, and waits 2.0 s for another node"),
    Reason.NEXT: (between_passes, 2, "there is room for it, and it is placed at once"),
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


def test_every_reason_has_its_case() -> None:
    assert set(CASES) == set(Reason)


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


def test_reserved_names_the_task_for_programs_and_the_other_says_where_room_is_kept() -> None:
    head = kept()
    assert (why(head, 4).reserved_for, why(head, 4).nodes) == (tid(3), ["n1"])
    first = head.ask(ev.ExplainTask, b"s" * 16, raw(3))
    assert first.code == "no_capacity_now"
    assert first.text.endswith("nearest fit: n1 has 2 CPUs free, it asks for 4; room is kept for it on n1")


def test_a_limit_names_itself_and_a_rate_says_until_when() -> None:
    head = at_its_limit()
    assert (why(head, 2).limit, why(head, 2).until) == ("openai", None)
    head.core.state.allowances.set("openai", Limit(rate=Rate(1, 60.0)), head.mono)
    head.result(ok(head.leases()[0]))
    head.ask(ev.SubmitRun, b"s" * 16, RunRequest(format_id(W, "workflow")))
    answer = head.ask(ev.ExplainTask, b"s" * 16, raw(2))
    assert (answer.code, answer.limit) == ("limit_reached", "openai")
    assert answer.until is not None
    assert head.now.wall + 50 < answer.until <= head.now.wall + 60


def test_what_a_limit_or_a_cap_never_allows_is_told() -> None:
    head = at_its_limit()
    head.core.state.allowances.set("openai", Limit(concurrency=0), head.mono)
    assert why(head, 2).text.endswith("; that is more than is ever allowed: raise it, or ask for less")
    head = at_its_cap()
    head.core.state.shares.set("lab", Rules(cap=Cap(cpu_milli=500)))
    assert why(head, 2).text == (
        "project 'lab' has 1 of 0.5 CPUs that its cap allows, and the task asks for more than all of it: "
        "raise the cap, or ask for less"
    )


def test_a_task_follows_another_also_to_a_node_that_takes_no_work() -> None:
    head = followed()
    head.say(Drain())
    assert why(head, 3).text == "it has to run on n1, where 't1' ran, and that node is draining"
    head = running(add(1), add(3, same_node_as=tid(1)))
    assert why(head, 3).text == "the task waits for 't1' (leased)"


def test_a_task_behind_another_of_its_queue_tells_what_holds_that_one() -> None:
    head = Head()
    head.ask(ev.CreateWorkflow, W, WorkflowRequest())
    other = hashlib.blake2b(b"another function", digest_size=16).hexdigest()
    codes = [CODE_BODY, CodeBody(other, "pickle", (3, 11), b"another function", "g")]
    head.ask(ev.EditWorkflow, W, EditRequest([add(1), add(2, code=other)], codes))
    head.core.state.observed.note(bytes.fromhex(CODE), "cpu", 100.0)
    head.greet(remaining=60.0)
    head.run()
    text = "it takes about 100 s, and the nodes with room leave before: n1; it waits for others"
    assert code_and_text(head, 1) == ("leaving", text)
    assert code_and_text(head, 2) == ("leaving", f"it is behind 't1': {text}")


def test_a_task_that_has_to_be_alone_waits_for_an_empty_node() -> None:
    head = running(add(1), add(2))
    head.core.state.runs[1].grown[1] = 100
    head.result(Outcome(head.leases()[1], CRASHED, 1e9, 1.0, error=ErrorInfo("crash", "WorkerCrashed", "gone")))
    answer = why(head, 2)
    assert answer.nearest == Nearest("n1", {"company": (0, 1)})


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
