"""Every waiting task can say why."""

from __future__ import annotations

import pytest

from maze_head.core import events as ev
from maze_head.core.errors import NotFound
from maze_head.core.explain import Explanation, Reason
from maze_protocol.messages import Drain
from support.head_core import Head, R, add, edge, gpus, ok, raw


def why(head: Head, number: int) -> Explanation:
    return head.ask(ev.ExplainTask, R, raw(number))


def running(*ops) -> Head:
    head = Head()
    head.workflow(*ops)
    head.greet()
    head.run()
    return head


def test_waiting_for_inputs_names_them() -> None:
    head = running(add(1), add(2), add(3, 1), edge(2, 3))
    assert why(head, 3) == Explanation("waiting_inputs", "the task waits for 't1' (leased), 't2' (leased)")


def test_no_node_says_what_there_is() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    assert why(head, 1) == Explanation("no_node", "no node can take work: none has joined")
    head.greet()
    head.result(ok(head.leases()[0]))
    head = running(add(1, resources={"cpu": 9}))
    head.say(Drain())
    assert why(head, 1).text == "no node can take work: n1 is draining"


def test_no_capacity_names_the_busy_nodes() -> None:
    head = running(add(1, resources={"cpu": 4}), add(2))
    assert why(head, 2) == Explanation("no_capacity_now", "every node that could take it is busy: n1 (1 running)")


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"cpu": 5}, "it asks for 5 CPUs, the largest node has 4"),
        ({"cpu_mem": 10_000}, "it asks for 10000 MiB of memory, the largest node has 4096"),
        ({"gpu": 2}, "it asks for 2 GPUs with 0 MiB each, the nodes have at most 0 devices"),
        ({"gpu_mem": 10}, "it asks for a share of a GPU with 10 MiB each, the nodes have at most 0 devices"),
    ],
)
def test_infeasible_says_what_is_missing(resources: dict, text: str) -> None:
    assert why(running(add(1, resources=resources)), 1) == Explanation(
        "infeasible", f"no node could ever take it: {text}"
    )


def test_infeasible_for_its_python_and_for_no_single_node() -> None:
    head = running(add(1, resources={"cpu": 6, "cpu_mem": 70_000}))
    head.greet(b"L2", "n2", capacity=gpus(1))
    assert "memory" in why(head, 1).text
    head.core.state.nodes["n1"].hello = head.core.state.nodes["n2"].hello = _old_python()
    assert why(head, 1).text.endswith("its code needs Python 3.11, the nodes run 3.9")


def _old_python():
    from support.head_core import hello

    greeting = hello()
    return type(greeting)(1, 1, 0, "n1", 1, greeting.capacity, (3, 9, 0), "0.1")


def test_held_over_and_stopping() -> None:
    head = running(add(1), add(2, 1), add(3))
    assert why(head, 1) == Explanation("held", "the task is leased on node n1")
    one, three = head.leases()
    head.result(ok(one))
    assert why(head, 1).code == "over"
    head.ask(ev.CancelRun, R)
    assert why(head, 2).code in ("held", "over")
    head.result(ok(three))
    head.result(ok(head.leases()[0]))
    assert why(head, 2) == Explanation("over", "the run is cancelled")


def test_unknown_task() -> None:
    with pytest.raises(NotFound):
        why(running(add(1)), 7)


def test_codes_are_the_documented_ones() -> None:
    import maze_head.core.explain as module

    assert all(f"\n{reason.value} " in (module.__doc__ or "") for reason in Reason)
