"""Could any member ever take a shape? And if not, which is nearest, and what does it lack?"""

from __future__ import annotations

from typing import Any

from maze_head.core.graph import Shape
from maze_head.core.prospects import hopeless, unfit
from maze_protocol.declare import normalise_resources
from maze_protocol.messages import Drain, Goodbye
from maze_protocol.resources import Capacity, Request
from maze_protocol.terms import Terms
from maze_protocol.waiting import Explanation, Nearest
from support.head_core import Head, gpus


def shape(*, nodes: int = 1, require: dict[str, str] | None = None, seconds: float = 0.0, **asks: float) -> Shape:
    terms = Terms(require=tuple((require or {}).items()), nodes=nodes)
    return Shape(Request.of(normalise_resources(asks)), (3, 11), terms, seconds)


def cluster(*members: dict[str, Any]) -> Head:
    head = Head()
    for number, given in enumerate(members, 1):
        head.greet(f"L{number}".encode(), f"n{number}", **given)
    return head


def why_never(head: Head, wanted: Shape) -> Explanation:
    found = unfit(head.core.state, wanted)
    assert found is not None
    return found


def test_one_that_could_is_enough_busy_or_not() -> None:
    head = cluster({}, {"capacity": gpus(8000)})
    assert unfit(head.core.state, shape(gpu=1)) is None
    assert hopeless(head.core.state, shape(gpu=1)) is None


def test_the_nearest_is_the_node_that_lacks_least() -> None:
    head = cluster({})
    wanted = shape(cpu=9, gpu=1)
    assert why_never(head, wanted).nearest == Nearest("n1", {"cpu": (9.0, 4.0), "gpu": (1, 0)})
    head.greet(b"L2", "n2", capacity=gpus(8000))
    answer = why_never(head, wanted)
    assert (answer.code, answer.nodes) == ("infeasible", ["n1", "n2"])
    assert answer.nearest == Nearest("n2", {"cpu": (9.0, 8.0)})


def test_what_all_nodes_lack_has_its_own_code_and_all_that_is_missing_is_told() -> None:
    head = cluster({"python": (3, 9, 0)}, {"python": (3, 9, 0), "capacity": gpus(1)})
    answer = why_never(head, shape(cpu=6, cpu_mem=70_000))
    assert answer.code == "python_mismatch"
    assert answer.nearest == Nearest("n2", {"python": ("3.11", "3.9"), "cpu_mem": (70_000, 65_536)})
    assert answer.text.endswith("; start a node with Python 3.11, or submit it from theirs")
    answer = why_never(cluster({}, {"capacity": gpus(1)}), shape(cpu=6, require={"zone": "a"}))
    assert answer.code == "label_mismatch"


def test_what_the_nearest_lacks_decides_where_others_lack_something_else() -> None:
    head = cluster({"labels": {"zone": "a"}}, {"capacity": gpus(8000)}, {"capacity": gpus(8000), "python": (3, 9, 0)})
    assert why_never(head, shape(gpu=1, require={"zone": "a"})).code == "infeasible"
    answer = why_never(head, shape(gpu=1, cpu=4, cpu_mem=9000, require={"zone": "a"}))
    assert (answer.code, answer.nearest) == ("label_mismatch", Nearest("n2", {"label:zone": ("a", "")}))
    answer = why_never(
        cluster({"remaining": 50.0}, {"labels": {"a": "b"}}), shape(seconds=60, require={"a": ""}, cpu=5)
    )
    assert answer.code == "infeasible"


def test_a_gang_needs_enough_nodes_at_once() -> None:
    head = cluster({}, {})
    assert unfit(head.core.state, shape(nodes=2)) is None
    assert why_never(head, shape(nodes=3)).nearest == Nearest("", {"nodes": (3, 2)})
    head.greet(b"L3", "n3", capacity=Capacity(500, 100, (), 4))
    answer = why_never(head, shape(nodes=3))
    assert answer.text.startswith("it asks for 3 nodes at once, and 2 could take their part; nearest fit: n3 has 0.5 ")
    assert answer.nearest == Nearest("n3", {"cpu": (1.0, 0.5), "nodes": (3, 2)})


def test_without_members_there_is_nothing_to_judge_by_and_no_hope() -> None:
    head = cluster({})
    head.say(Goodbye("enough"))
    assert unfit(head.core.state, shape()) is None
    found = hopeless(head.core.state, shape())
    assert found is not None
    assert found.text.startswith("no node can take work: n1 is left; ")


def test_a_node_that_drains_is_a_member_and_no_hope() -> None:
    head = cluster({}, {"capacity": Capacity(500, 100, (), 4)})
    head.say(Drain())
    assert unfit(head.core.state, shape()) is None
    found = hopeless(head.core.state, shape())
    assert found is not None
    assert (found.code, found.nodes) == ("node_unavailable", ["n1"])
    head.say(Drain(), b"L2")
    found = hopeless(head.core.state, shape())
    assert found is not None
    assert found.code == "no_node"
